from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conventions.errors import UserError
from experiments.sweep import expand_sweep, sweep_names

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


def test_each_paper_table_module_and_the_seed_has_its_sweep() -> None:
    assert {"table1", "table3", "unseen", "seeds", "ame_search", "eac_search", "hef_search"} <= set(sweep_names())


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
