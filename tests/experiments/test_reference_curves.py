"""Reference curves: taken from finished runs, kept small, read back."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments import reference_curves as curves
from experiments.rundir import RunFolder


def finished(runs: Path, stage: str, seed: int = 0, state: str = "done", **labels: Any) -> None:
    folder = RunFolder(runs / f"{stage}.s{seed}.{len(list(runs.iterdir())):08d}")
    folder.path.mkdir()
    rows = [{"step": step, "time": step, "train/loss": seed + 1 / step, "train/lr": 1e-3} for step in range(1, 101)]
    rows[49]["val/loss"] = 0.123456789
    rows[59]["train/loss"] = None  # type: ignore[assignment]
    folder.history.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder.write("metrics.json", {"hash": folder.digest, "required": [], "metrics": {}})
    machine = {"host": "a", "cpus": 2, "threads": 1, "gpus": []}
    folder.write("provenance.json", {"machine": machine, "started": "2026-01-01T00:00:00Z"})
    status = {"hash": folder.digest, "stage": stage, "seed": seed, "variant": "full", "experiment": "toy", "fields": {}}
    folder.set_status(state, **{**status, "seconds": 12.34, "peak_memory_bytes": 10**9, **labels})  # type: ignore[arg-type]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def test_the_full_model_with_the_fewest_changes_and_the_lowest_seed_is_the_reference(runs: Path) -> None:
    finished(runs, "hef", seed=0, fields={"hef.steps": "3"})
    finished(runs, "hef", seed=2)
    finished(runs, "hef", seed=1)
    finished(runs, "eac", variant="eac_mlp")
    finished(runs, "ame", state="failed")
    finished(runs, "clip", experiment="demo")
    found = curves.collect(runs, "toy")
    assert list(found) == ["hef"]
    assert found["hef"].seed == 1
    assert (found["hef"].seconds, found["hef"].memory_bytes) == (12.3, 10**9)
    assert found["hef"].machine == {"cpus": 2, "threads": 1, "gpus": []}


def test_curves_are_thinned_and_lead_from_the_first_batches_to_the_last(runs: Path) -> None:
    finished(runs, "eac")
    found = curves.collect(runs, "toy")["eac"].curves
    assert set(found) == {"train/loss", "val/loss"}
    assert found["val/loss"] == [(50, 0.1235)]
    assert len(found["train/loss"]) <= curves.MOST_POINTS
    assert found["train/loss"][-1][0] == 100
    assert found["train/loss"][0][1] == pytest.approx(sum(1 / step for step in range(1, 6)) / 5, rel=1e-3)
    assert curves.thin([(3, 1 / 3)], most=5, digits=2) == [(3, 0.33)]
    assert curves.thin([], most=5, digits=2) == []
    long = curves.thin([(step, 1.0) for step in range(1000)], most=50, digits=2)
    assert len(long) <= 50
    assert long[-1] == (999, 1.0)


def test_what_is_kept_is_read_back_and_other_presets_stay(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "curves.json"
    finished(runs, "eac")
    finished(runs, "ame", experiment="demo")
    assert curves.reference_curves("toy", file) == {}
    for preset in ("toy", "demo"):
        curves.keep(preset, curves.collect(runs, preset), file)
    assert curves.reference_curves("toy", file) == curves.collect(runs, "toy")
    assert list(curves.reference_curves("demo", file)) == ["ame"]
    finished(runs, "hef")
    curves.keep("toy", {"hef": curves.collect(runs, "toy")["hef"]}, file)
    assert list(curves.reference_curves("toy", file)) == ["eac", "hef"]
    assert len(file.read_text()) < 5000


def test_the_command(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(curves, "FILE", tmp_path / "curves.json")
    assert curves.main([str(runs), "--preset", "toy"]) == 2
    assert "has no finished run of the full model of 'toy'" in capsys.readouterr().err
    finished(runs, "eac")
    assert curves.main([str(runs), "--preset", "folder/toy.yaml"]) == 0, "an experiment in a file has the file's name"
    assert curves.main([str(runs), "--preset", "toy"]) == 0
    assert capsys.readouterr().out == 2 * f"{curves.FILE}: toy: eac\n"
    assert list(curves.reference_curves("toy", curves.FILE)) == ["eac"]


def test_what_is_shipped_can_be_read() -> None:
    for preset in json.loads(curves.FILE.read_text()):
        assert all(run.curves or run.seconds > 0 for run in curves.reference_curves(preset).values())
