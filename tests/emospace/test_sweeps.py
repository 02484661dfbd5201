"""The sweeps of the project, each point as `emospace run` and W&B's agent take it; sweeps of a user, checked whole."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from run_folders import write_tiny

from conventions.errors import UserError
from emospace.cli import main
from emospace.sweeps import check_points, is_sweep, read_point, read_points
from experiments.graph import Experiment, plan
from experiments.runner import write_metrics
from experiments.stage import Measured
from experiments.sweep import SWEEPS, expand_sweep, sweep_names


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
    return read_point(words, Path("runs")).experiment


@pytest.mark.parametrize("name", ["ame", "eac", "hef"])
def test_a_search_of_a_module_ends_with_it_and_shares_all_before(name: str) -> None:
    plans = [plan(composed_by(job.words), lambda path: "5" * 64) for job in expand_sweep(f"{name}_search").jobs]
    assert len(plans) == 8
    assert all(runs[-1].stage == name for runs in plans)
    assert len({tuple(run.id for run in runs[:-1]) for runs in plans}) == 1


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


@pytest.mark.slow
def test_a_run_that_an_agent_started_is_done_though_no_server_answers(
    agents_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = '["${env}", "${interpreter}", -m, emospace.cli, run, tiny.yaml, --stage, gpt2, "${args_no_hyphens}"]'
    sweep = agents_home / "sweep.yaml"
    sweep.write_text(f"method: grid\nparameters: {{prior_seed: {{values: [4]}}}}\ncommand: {command}\n")
    write_tiny(agents_home)
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
    assert "gpt2.s4." in told


PERPLEXITIES = {0: 9.5, 1: 4.25, 2: 7.0}
"""Of the points of the sweep below, by seed."""


@pytest.fixture
def tiny(agents_home: Path) -> Path:
    """A sweep of three stand-ins of GPT-2, ordered by their perplexity."""
    command = '["${env}", "${interpreter}", -m, emospace.cli, run, tiny.yaml, --stage, gpt2, "${args_no_hyphens}"]'
    text = f"name: seeds\nmethod: grid\nmetric: {{name: test/perplexity}}\ncommand: {command}\n"
    (agents_home / "sweep.yaml").write_text(text + "parameters: {prior_seed: {values: [0, 1, 2]}}\n")
    write_tiny(agents_home)
    return agents_home / "sweep.yaml"


def finish(words: Sequence[str], value: float) -> str:
    """The run of some words as the engine leaves it; its id."""
    point = read_point(words, Path("runs"))
    run = plan(point.experiment)[-1]
    write_metrics(run, run.folder(point.runs), Measured({"perplexity": value}))
    run.folder(point.runs).set_status("done", hash=run.hash, stage=run.stage, title=run.title)
    return run.id


def test_a_sweep_that_is_done_starts_nothing_and_is_shown_best_first(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = {seed: finish(job.words, PERPLEXITIES[seed]) for seed, job in enumerate(expand_sweep(tiny).jobs)}
    assert main(["sweep", "sweep.yaml", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    best = [1, 2, 0]
    assert (document["sweep"], document["exit_code"], document["fields"]) == ("seeds", 0, ["prior_seed"])
    assert [run["id"] for run in document["runs"]] == [ids[seed] for seed in best]
    assert [run["fields"] for run in document["runs"]] == [{"prior_seed": str(seed)} for seed in best]
    assert [(run["metric"], run["state"]) for run in document["runs"]] == [(PERPLEXITIES[s], "done") for s in best]
    assert not list(Path("runs").glob(".logs/*/*.log"))
    assert main(["table", "sweep.yaml"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert lines[2] == f"| {ids[1]} | 1 | 4.25 | done |"
    assert main(["report", "page.html", "--sweep", "sweep.yaml"]) == 0
    page = Path("page.html").read_text()
    assert "Sweep seeds (best first: the lowest test/perplexity)" in page
    assert page.index(f"<td>{ids[1]}</td>") < page.index(f"<td>{ids[0]}</td>")


def test_a_report_of_a_sweep_shows_its_runs_alone(tiny: Path) -> None:
    one = finish(expand_sweep(tiny).jobs[0].words, 1.0)
    other = finish(("tiny.yaml", "--stage", "gpt2", "prior_seed=9"), 1.0)
    assert main(["report", "page.html", "--sweep", "sweep.yaml"]) == 0
    page = Path("page.html").read_text()
    assert f"<code>{one}</code>" in page
    assert other not in page


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("values: [0, 1, 2]", "values: [0, -1]", ["prior_seed=-1", "must be between"]),
        ("{prior_seed: {", "{prior_sed: {value: 0}, prior_seed: {", ["unknown key 'prior_sed'", "'prior_seed'"]),
        ("--stage, gpt2", "--stage, gtp2", ["did you mean 'gpt2'"]),
        ("--stage, gpt2", "--stag, gpt2", ["--stag", "'--stage'"]),
        ("--stage, gpt2", "data.store=nowhere", ["nowhere: no such folder"]),
        ("test/perplexity", "val/EFD", ["logged by training"]),
        ("test/perplexity", "val/perplexity", ["every 200 batches of 20", "trainer.val_every"]),
        ("run, tiny.yaml", "run, tiny.yml", ["no such file"]),
    ],
)
def test_a_wrong_word_in_any_point_is_one_line_before_the_first_starts(
    tiny: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, parts: list[str]
) -> None:
    assert old in tiny.read_text()
    text = tiny.read_text().replace(old, new)
    tiny.write_text(text.replace("--stage, gpt2", "--stage, evaluate") if "val/EFD" in new else text)
    assert main(["sweep", "sweep.yaml"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert all(part in told for part in parts), told
    assert not Path("runs").exists()


def test_the_plan_of_every_point_is_checked(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[str]()

    def check(planned: Sequence[Any], runs: Path) -> None:
        seen.extend(run.id for run in planned)
        if len(seen) == 3:
            raise UserError("the last one has no data")

    monkeypatch.setattr("experiments.checks.check_plan", check)
    sweep = expand_sweep(tiny)
    finish(sweep.jobs[0].words, 1.0)
    check_points(read_points(sweep, Path("runs")))
    assert len(seen) == 2, "what is done is not checked again"
    del seen[1:]
    seen.append("another")
    with pytest.raises(UserError, match=r"prior_seed=1: the last one has no data"):
        check_points(read_points(sweep, Path("runs")))


def test_a_points_state_is_read_from_its_folder(tiny: Path) -> None:
    words = ("tiny.yaml", "--stage", "gpt2", "prior_seed=3")
    manifest = Path("store/manifest.json")
    content = manifest.read_text()
    manifest.unlink()
    assert read_point(words, Path("runs")).state() == "missing", "its store is not there"
    manifest.write_text(content)
    finish(words, 2.0)
    assert read_point(words, Path("runs")).state() == "done"
    assert read_point((*words, "--force"), Path("runs")).state() == "missing"
    assert read_point((*words, "--runs", "others"), Path("runs")).state() == "missing"
    with pytest.raises(UserError, match=r"did you mean 'prior\.gpt2\.steps'"):
        read_point((*words, "prior.gpt2.stepz=3"), Path("runs"))


def test_a_name_of_both_is_the_table(tmp_path: Path) -> None:
    names = ("1", "3", "demo", "unseen", "table3", "seeds", "none")
    assert [is_sweep(name) for name in names] == [False] * 4 + [True, True, False]
    path = tmp_path / "mine.yaml"
    path.write_text("groups: {}\n")
    assert not is_sweep(str(path))
    path.write_text("parameters: {}\n")
    assert is_sweep(str(path))


@pytest.mark.parametrize("words", [["--seeds", "1"], ["--preset", "toy"], ["--run"], ["eac.steps=3"]])
def test_options_of_tables_have_no_place_with_a_sweep(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "table3", *words]) == 2
    assert "no effect on a sweep" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--gpus", "1"], ["--time", "60"], ["--no-wait"]])
def test_options_of_slurm_need_slurm(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "demo", *words]) == 2
    assert "no effect without --launcher slurm" in capsys.readouterr().err
