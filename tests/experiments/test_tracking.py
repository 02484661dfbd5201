import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.csvfiles import write_csv
from experiments.graph import StageRun, compose, plan
from experiments.rundir import RunFolder
from experiments.schema import TrackingConfig
from experiments.tracking import Mirror


@pytest.fixture
def run() -> StageRun:
    return plan(compose("toy", target="clip"), "5" * 64)[0]


@pytest.fixture
def folder(run: StageRun, tmp_path: Path) -> RunFolder:
    """A finished run that was once interrupted: its history goes on where the checkpoint was."""
    folder = run.folder(tmp_path)
    folder.write("metrics.json", {"hash": run.hash, "required": ["EFD"], "metrics": {"EFD": 0.25}})
    rows = [{"step": step, "time": 1.5 * step, "train/loss": 1 / step} for step in (10, 20, 30)]
    folder.history.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_csv(folder.path / "per_clip.csv", [{"id": "a", "EFD": 0.2}, {"id": "b", "EFD": float("nan")}])
    folder.checkpoints.mkdir()
    (folder.checkpoints / "final.pt").write_bytes(b"weights")
    folder.samples.mkdir()
    (folder.samples / "a.mp4").write_bytes(b"\0" * 64)
    return folder


def inspect(folder: RunFolder) -> list[dict]:
    """The records of the one offline run, by W&B's own reader."""
    pytest.importorskip("wandb")
    [recorded] = folder.path.glob("wandb/offline-run-*/*.wandb")
    program = shutil.which("wandb", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    assert program is not None
    command = [program, "leet", "inspect", "--json", str(recorded)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_offline_run_holds_everything_and_leaves_no_trace_outside(
    run: StageRun, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    before = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    Mirror(run, folder, TrackingConfig(), target=True).publish()
    assert {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"} == before
    records = inspect(folder)
    curve = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert [(item["_step"], item["batch"]) for item in curve] == [(10, 10), (20, 20), (30, 30)]
    assert [item["train/loss"] for item in curve] == [0.1, 0.05, pytest.approx(1 / 30)]
    text = json.dumps(records)
    for part in (run.id, run.hash, '"toy.full"', "seed0", "train/loss", "test/EFD", "samples/a", "per_clip"):
        assert part in text, part


@pytest.mark.parametrize("fault", ["library", "disk"])
def test_a_failure_is_a_warning(
    run: StageRun, folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], fault: str
) -> None:
    if fault == "library":
        monkeypatch.setitem(sys.modules, "wandb", None)
    else:
        monkeypatch.setattr("experiments.tracking.read_history", _full_disk)
    mirror = Mirror(run, folder, TrackingConfig(mode="offline"), target=True)
    mirror.follow({"step": 1})
    mirror.publish()
    lines = [line for line in capfd.readouterr().err.splitlines() if "W&B left out" in line]
    assert len(lines) == 1


def _full_disk(path: Path) -> list:
    raise OSError(28, "No space left on device")


def test_disabled_imports_nothing(run: StageRun, folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    Mirror(run, folder, TrackingConfig(mode="disabled"), target=True).publish()
    assert not (folder.path / "wandb").exists()


class FakeWandb:
    """Records how runs are started."""

    def __init__(self) -> None:
        self.started: list[dict] = []
        self.seen: list[str | None] = []

    class Settings:
        def __init__(self, **values: object) -> None:
            pass

    def init(self, **arguments: object) -> "FakeWandb":
        self.started.append(arguments)
        self.seen.append(os.environ.get("WANDB_RUN_ID"))
        return self

    def log(self, values: dict, step: int) -> None:
        assert values["batch"] == step

    def finish(self) -> None:
        pass


@pytest.mark.parametrize("target", [True, False])
def test_inside_an_agent_only_the_target_takes_the_agents_run(
    run: StageRun, folder: RunFolder, monkeypatch: pytest.MonkeyPatch, target: bool
) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)  # pyright: ignore[reportArgumentType]
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    monkeypatch.setenv("WANDB_RUN_ID", "given")
    mirror = Mirror(dataclasses.replace(run), folder, TrackingConfig(mode="online"), target)
    mirror.follow({"step": 10, "time": 1.0, "train/loss": 0.5})
    assert fake.seen == ["given" if target else None]
    assert fake.started[0]["id"] == (None if target else run.id)
    assert os.environ["WANDB_RUN_ID"] == "given"
