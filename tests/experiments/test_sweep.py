import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ablations.registry import compose_variant
from conventions.errors import UserError
from emospace.cli import build_parser, parse
from experiments.graph import Experiment, plan
from experiments.sweep import SWEEPS, expand_sweep, sweep_names

GRID = """
method: grid
parameters:
  variant: {values: [full, eac_mlp]}
  seed: {values: [0, 1, 2]}
  eac.steps: {value: 7}
command: ["${env}", "${interpreter}", -m, emospace.cli, run, toy, tracking.mode=disabled, "${args_no_hyphens}"]
"""
RANDOM = """
method: random
run_cap: 20
parameters:
  eac.learning_rate: {min: 0.0001, max: 0.01, distribution: log_uniform_values}
  eac.batch_size: {min: 4, max: 9, distribution: int_uniform}
  ame.text.encoding: {values: [clip, gpt2]}
command: ["${env}", "${interpreter}", -m, emospace.cli, run, toy, "${args_no_hyphens}"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(text)
    return path


def test_a_grid_is_every_combination_in_the_files_order(tmp_path: Path) -> None:
    jobs = expand_sweep(write(tmp_path, GRID)).jobs
    assert len(jobs) == 6
    assert jobs[0].words == ("toy", "tracking.mode=disabled", "variant=full", "seed=0", "eac.steps=7")
    assert [job.words[2:4] for job in jobs[2:4]] == [("variant=full", "seed=2"), ("variant=eac_mlp", "seed=0")]


def test_a_random_sweep_is_the_same_every_time_and_within_its_ranges(tmp_path: Path) -> None:
    path = write(tmp_path, RANDOM)
    jobs = expand_sweep(path).jobs
    assert jobs == expand_sweep(path).jobs
    assert len(jobs) == 20
    points = [dict(word.split("=") for word in job.words[1:]) for job in jobs]
    assert all(0.0001 <= float(point["eac.learning_rate"]) <= 0.01 for point in points)
    assert {int(point["eac.batch_size"]) for point in points} <= set(range(4, 10))
    assert {point["ame.text.encoding"] for point in points} == {"clip", "gpt2"}
    changed = expand_sweep(write(tmp_path, RANDOM.replace("max: 9", "max: 8"))).jobs
    assert changed != jobs


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("method: grid", "method: bayes", ["method", "bayes", "grid or random"]),
        ("method: grid", "methd: grid", ["methd", "'method'"]),
        ("{value: 7}", "{valu: 7}", ["parameters.eac.steps", "'valu'", "'value'"]),
        ("{value: 7}", "{value: null}", ["None", "command line"]),
        ("{value: 7}", "{min: 1, max: 3}", ["grid has no ranges"]),
        ("{value: 7}", "7", ["parameters.eac.steps"]),
        ("[full, eac_mlp]", "full", ["expected a list"]),
        ("run, toy", "walk, toy", ["command", "emospace.cli run toy"]),
        ('"${args_no_hyphens}"]', '"${args}"]', ["command"]),
        ("parameters:", "early_terminate: {}\nparameters:", ["early_terminate"]),
    ],
)
def test_what_is_not_allowed_is_one_line(tmp_path: Path, old: str, new: str, parts: list[str]) -> None:
    assert old in GRID
    with pytest.raises(UserError) as error:
        expand_sweep(write(tmp_path, GRID.replace(old, new)))
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_files_that_are_absent_or_broken_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        expand_sweep(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="not readable"):
        expand_sweep(write(tmp_path, "method: [grid"))
    with pytest.raises(UserError, match="did you mean 'table3'"):
        expand_sweep("tabel3")


@pytest.mark.parametrize("name", sweep_names())
def test_every_sweep_of_the_project_composes(name: str) -> None:
    jobs = expand_sweep(name).jobs
    composed = [composed_by(job.words) for job in jobs]
    assert {experiment.config.name for experiment in composed} <= {"toy", "demo"}
    assert len({plan(experiment, lambda path: "5" * 64)[-1].hash for experiment in composed}) == len(jobs), (
        "no run twice"
    )


def composed_by(words: Sequence[str]) -> Experiment:
    """The experiment of the words after `emospace run`."""
    options = parse(build_parser("run"), words)
    return compose_variant(options.experiment, options.variant, options.seed, options.overrides, target=options.stage)


def test_each_paper_table_module_and_the_seed_has_its_sweep() -> None:
    assert {"table1", "table3", "unseen", "seeds", "ame_search", "eac_search", "hef_search"} <= set(sweep_names())


@pytest.mark.parametrize("name", ["ame", "hef"])
def test_a_search_of_a_module_ends_with_it_and_shares_all_before(name: str) -> None:
    plans = [plan(composed_by(job.words), lambda path: "5" * 64) for job in expand_sweep(f"{name}_search").jobs]
    assert len(plans) == 8
    assert all(runs[-1].stage == name for runs in plans)
    assert len({tuple(run.id for run in runs[:-1]) for runs in plans}) == 1


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True), st.lists(st.booleans(), min_size=1, unique=True)
)
def test_the_number_of_jobs_is_the_product(tmp_path_factory, seeds: list[int], flags: list[bool]) -> None:
    text = yaml.safe_dump(
        {
            "method": "grid",
            "parameters": {"seed": {"values": seeds}, "hef.flow.residual": {"values": flags}},
            "command": ["${env}", "${interpreter}", "-m", "emospace.cli", "run", "toy", "${args_no_hyphens}"],
        },
        sort_keys=False,
    )
    jobs = expand_sweep(write(tmp_path_factory.mktemp("sweep"), text)).jobs
    assert len(jobs) == len(seeds) * len(flags)
    assert all(job.words[2].removeprefix("hef.flow.residual=") in ("true", "false") for job in jobs)


class Agent:
    """W&B's own agent without its server: what it would start for one point of a sweep, or what came of it."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, start: bool = False) -> None:
        module = pytest.importorskip("wandb.wandb_agent")
        self.path, self.started = path, list[tuple[list[str], Mapping[str, str]]]()
        monkeypatch.setenv("WANDB_SWEEP_ID", "s1")
        if not start:
            monkeypatch.setattr(module, "AgentProcess", self._note)
        self.agent = module.Agent(None, None, sweep_id="s1")
        self.agent._sweep_command = yaml.safe_load(path.read_text())["command"]

    def _note(self, command: list[str], env: Mapping[str, str], **_: Any) -> "Agent":
        self.started.append((command, env))
        return self

    def run(self, **values: Any) -> Any:
        """Let the agent obey its server's order to run a point; its process."""
        arguments = {name: {"value": value} for name, value in values.items()}
        self.agent._command_run({"run_id": "r1", "program": None, "args": arguments})
        return self.agent._run_processes["r1"]


@pytest.fixture
def agents_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an agent was started; what it sets in the environment goes when the test ends."""
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.parametrize("name", sweep_names())
def test_an_agent_of_wandb_starts_what_our_launcher_starts(
    name: str, agents_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(SWEEPS / f"{name}.yaml", monkeypatch)
    parameters = yaml.safe_load(agent.path.read_text())["parameters"]
    jobs = expand_sweep(name).jobs[:3]
    for job in jobs:
        point = dict(word.split("=") for word in job.words if "=" in word)
        agent.run(**{key: yaml.safe_load(point[key]) for key in parameters})
    for job, (command, environment) in zip(jobs, agent.started, strict=True):
        assert command[:3] == ["/usr/bin/env", "python", "-m"]
        assert composed_by(command[5:]) == composed_by(job.words)
        assert (environment["WANDB_SWEEP_ID"], environment["WANDB_RUN_ID"]) == ("s1", "r1")


TINY = """
data: {store: store}
prior: {gpt2: {steps: 20}}
trainer: {accelerator: cpu}
"""
MANIFEST = '{"format": "emospace-store", "version": 1, "hash": "%s", "clips": []}' % ("5" * 64)


@pytest.mark.slow
def test_a_run_that_an_agent_started_is_done_though_no_server_answers(
    agents_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = '["${env}", "${interpreter}", -m, emospace.cli, run, tiny.yaml, --stage, gpt2, "${args_no_hyphens}"]'
    sweep = write(agents_home, f"method: grid\nparameters: {{prior_seed: {{values: [4]}}}}\ncommand: {command}\n")
    (agents_home / "tiny.yaml").write_text(TINY)
    (agents_home / "store").mkdir()
    (agents_home / "store" / "manifest.json").write_text(MANIFEST)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(SWEEPS.parent.parent))
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    process = Agent(sweep, monkeypatch, start=True).run(prior_seed=4)
    assert process.wait(timeout=300) == 0
    told = subprocess.run(
        [sys.executable, "-m", "emospace.cli", "status"], cwd=agents_home, capture_output=True, text=True, check=True
    ).stdout
    assert told.startswith("done")
    assert "tiny-gpt2.full.s4." in told
