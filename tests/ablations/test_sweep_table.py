"""A sweep's table: swept fields as columns, best first, nothing that diverged."""

import csv
import io
import json
from pathlib import Path

import pytest
import torch

from ablations.found import lineage, unusable
from ablations.sweep_table import SweepTable, folder_found, sweep_table
from experiments.rundir import RunFolder
from experiments.sweep import Sweep, expand_sweep

SWEEP = """
name: rates
method: grid
metric: {name: val/PSNR, goal: GOAL}
parameters:
  hef.learning_rate: {values: [0.001, 0.01, 0.1, 1.0]}
  seed: {value: 3}
command: ["${env}", "${interpreter}", -m, emospace.cli, run, toy, --stage, hef, "${args_no_hyphens}"]
"""
VALUES = (20.5, 22.25, None, 21.0)
"""Of the four points; the third is not done."""


def finished(path: Path, value: float, parents: tuple[str, ...] = ()) -> RunFolder:
    """A run that is done, whose last validation had the value."""
    folder = RunFolder(path)
    folder.write("metrics.json", {"hash": folder.digest, "required": ["L1"], "metrics": {"L1": value / 100}})
    folder.set_status("done", hash=folder.digest)
    folder.write("provenance.json", {"parents": {name: name for name in parents}})
    rows = [{"step": 5, "val/PSNR": 1.0}, {"step": 10, "val/PSNR": value}, {"step": 11, "train/loss": 0.5}]
    folder.history.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def weights(folder: RunFolder, value: float) -> None:
    folder.checkpoints.mkdir(parents=True)
    torch.save({"state_dict": {"a": torch.zeros(2), "b": torch.tensor([1.0, value])}}, folder.checkpoints / "final.pt")


def made(tmp_path: Path, goal: str) -> tuple[Sweep, SweepTable]:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP.replace("GOAL", goal))
    sweep = expand_sweep(path)
    folders = [
        None if value is None else finished(tmp_path / f"hef.s3.0000000{number}", value)
        for number, value in enumerate(VALUES)
    ]
    return sweep, sweep_table(sweep, [folder_found(folder) for folder in folders])


@pytest.mark.parametrize(("goal", "order"), [("maximize", [22.25, 21.0, 20.5]), ("minimize", [20.5, 21.0, 22.25])])
def test_best_first_by_the_goal_and_the_undone_last(tmp_path: Path, goal: str, order: list[float]) -> None:
    sweep, table = made(tmp_path, goal)
    assert (sweep.name, sweep.fields) == ("rates", ("hef.learning_rate",))
    assert [row.metric for row in table.rows] == [*order, None]
    assert [row.state for row in table.rows] == ["done"] * 3 + ["missing"]


def test_every_format_has_the_swept_values_and_the_metric(tmp_path: Path) -> None:
    _, table = made(tmp_path, "maximize")
    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert lines[0] == "| id | hef.learning_rate | val/PSNR | state |"
    assert lines[2] == "| hef.s3.00000001 | 0.01 | 22.25 | done |"
    assert lines[-1] == "| - | 0.1 | - | missing |"
    [first, *_] = csv.DictReader(io.StringIO(table.csv()))
    assert (first["id"], first["hef.learning_rate"], first["val/PSNR"]) == ("hef.s3.00000001", "0.01", "22.25")
    document = json.loads(json.dumps(table.json(), allow_nan=False))
    assert document["metric"] == {"name": "val/PSNR", "goal": "maximize"}
    assert document["runs"][0]["fields"] == {"hef.learning_rate": "0.01"}
    text = table.latex()
    assert text.count("{") == text.count("}")
    assert r"hef.learning\_rate" in text


def test_without_a_metric_the_files_order_stays(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP.replace("metric: {name: val/PSNR, goal: GOAL}\n", ""))
    table = sweep_table(expand_sweep(path), [folder_found(None)] * 4)
    assert [row.values for row in table.rows] == [("0.001",), ("0.01",), ("0.1",), ("1.0",)]
    assert table.markdown().splitlines()[2] == "| id | hef.learning_rate | state |"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_run_on_networks_that_diverged_has_no_value(tmp_path: Path, bad: float) -> None:
    parent, child = (
        finished(tmp_path / "ame.s0.aaaaaaaa", 9.0),
        finished(tmp_path / "hef.s3.bbbbbbbb", 30.0, ("ame.s0.aaaaaaaa",)),
    )
    weights(parent, 1.0)
    assert unusable(child) is None
    assert {one.id for one in lineage(child)} == {parent.id, child.id}
    (parent.checkpoints / "final.pt").unlink()
    parent.checkpoints.rmdir()
    weights(parent, bad)
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP.replace("GOAL", "maximize").replace(", 0.01, 0.1, 1.0", ""))
    [row] = sweep_table(expand_sweep(path), [folder_found(child)]).rows
    assert (row.metric, row.state) == (None, "damaged")
    assert "ame.s0.aaaaaaaa: weight 'b' is not finite" in (row.reason or "")
