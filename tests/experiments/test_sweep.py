from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conventions.errors import UserError
from experiments.rundir import RunFolder
from experiments.sweep import SWEEPS, Goal, expand_sweep, metric_of, sweep_names

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


def test_jobs_know_their_point_and_the_sweep_what_differs(tmp_path: Path) -> None:
    sweep = expand_sweep(write(tmp_path, GRID.replace("method:", "metric: {name: test/EFD}\nmethod:")))
    assert sweep.fields == ("variant", "seed")
    assert sweep.jobs[4].point == {"variant": "eac_mlp", "seed": "1", "eac.steps": "7"}
    assert sweep.goal == Goal("test/EFD", maximize=False)
    drawn = expand_sweep(write(tmp_path, RANDOM))
    assert drawn.fields == ("eac.learning_rate", "eac.batch_size", "ame.text.encoding")
    assert all(f"{name}={value}" in job.words for job in drawn.jobs for name, value in job.point.items())


@pytest.mark.parametrize(
    ("metric", "part"),
    [
        ("{name: test/EFD, goal: minimize}", "must not select by test actors; give val/NAME"),
        ("{name: EFD}", "expected val/NAME, test/NAME or train/NAME"),
        ("{name: valid/loss}", "expected val/NAME"),
        ("{name: val/loss, goal: max}", "valid: maximize, minimize"),
        ("{nam: val/loss}", "expected name"),
        ("{name: val/loss, gaol: minimize}", "did you mean 'goal'"),
        ("val/loss", "expected name"),
    ],
)
def test_a_search_is_ordered_by_validation_actors(tmp_path: Path, metric: str, part: str) -> None:
    with pytest.raises(UserError, match=part) as error:
        expand_sweep(write(tmp_path, f"metric: {metric}\n{RANDOM}"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sweep_names())
def test_every_search_of_the_project_optimises_validation(name: str) -> None:
    content = yaml.safe_load((SWEEPS / f"{name}.yaml").read_text())
    assert content["metric"]["name"].startswith("val/" if content["method"] == "random" else "test/")


def test_a_metric_is_read_from_the_last_row_that_has_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert metric_of(folder, "val/loss") is None
    folder.write("metrics.json", {"metrics": {"EFD": 0.5}})
    rows = [
        '{"step": 5, "val/loss": 3.0}',
        '{"step": 10, "val/loss": 2.0, "val/bad": null}',
        '{"step": 15, "train/loss": 1',
    ]
    folder.history.write_text("\n".join(rows))
    assert [metric_of(folder, name) for name in ("val/loss", "val/bad", "test/EFD", "test/LMD", "train/loss")] == [
        *(2.0, None, 0.5, None, None)
    ]


@given(
    st.lists(st.one_of(st.none(), st.floats(-10, 10)), max_size=8),
    st.booleans(),
)
def test_best_first_leaves_what_has_no_value_last(values: list[float | None], maximize: bool) -> None:
    ordered = Goal("val/loss", maximize).best_first([(value, value) for value in values])
    known = [value for value in ordered if value is not None]
    assert known == sorted(known, reverse=maximize)
    assert ordered == [*known, *([None] * (len(values) - len(known)))]


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
