import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conventions.errors import UserError
from experiments.graph import STAGES, Experiment, compose, plan
from experiments.parents import check_parents
from experiments.readback import read_run
from experiments.rundir import RunLockedError, list_runs
from experiments.runner import Measured, Work, Worker, execute

STORE = {"hash": "5" * 64}
QUIET = ("tracking.mode=disabled",)


class Recorder:
    """Counts each stage's work; one stage may fail or be asked to stop."""

    def __init__(self, **faults: object) -> None:
        self.worked: list[str] = []
        self.faults = faults

    def __call__(self, work: Work) -> Measured:
        self.worked.append(work.run.stage)
        fault = self.faults.get(work.run.stage)
        if isinstance(fault, Exception):
            raise fault
        if fault == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(100):
                time.sleep(0.01)
                work.interruption.check()
        return Measured({"loss": float("nan") if fault == "nan" else 0.5})

    def workers(self) -> dict[str, Worker]:
        return dict.fromkeys(STAGES, self)


def toy(*words: str, target: str = "evaluate") -> Experiment:
    return compose("toy", overrides=[*QUIET, *words], target=target)


def states(runs: Path) -> dict[str, str]:
    return {run.id.split(".")[0].removeprefix("toy-"): run.state for run in list_runs(runs)}


def test_everything_is_made_once(tmp_path: Path) -> None:
    recorder = Recorder()
    first = execute(toy(), tmp_path, STORE, recorder.workers())
    assert first.exit_code == 0
    assert sorted(recorder.worked) == ["ame", "clip", "critics", "eac", "evaluate", "hef", "judges", "references"]
    assert set(states(tmp_path).values()) == {"done"}
    again = execute(toy(), tmp_path, STORE, recorder.workers())
    assert [outcome.state for outcome in again.outcomes] == ["was done"]
    assert len(recorder.worked) == 8


def test_a_changed_stage_reuses_its_parents(tmp_path: Path) -> None:
    recorder = Recorder()
    execute(toy(), tmp_path, STORE, recorder.workers())
    recorder.worked.clear()
    execute(toy("eac.steps=7"), tmp_path, STORE, recorder.workers())
    assert recorder.worked == ["eac", "evaluate"]


def test_a_failure_is_recorded_with_its_reason_and_tried_again(tmp_path: Path) -> None:
    broken = Recorder(eac=MemoryError("7 GB\nare too much"))
    result = execute(toy(), tmp_path, STORE, broken.workers())
    assert result.exit_code == 1
    assert result.outcomes[-1].reason == "MemoryError: 7 GB"
    [failed] = [run for run in list_runs(tmp_path) if run.state == "failed"]
    assert (failed.id.split(".")[0], failed.reason) == ("toy-eac", "MemoryError: 7 GB")
    assert "are too much" in (tmp_path / failed.id / "error.txt").read_text()
    assert execute(toy(), tmp_path, STORE, Recorder().workers()).exit_code == 0


def test_a_users_error_passes_through_and_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no landmark weights"):
        execute(toy(), tmp_path, STORE, Recorder(judges=UserError("no landmark weights")).workers())
    assert states(tmp_path)["judges"] == "failed"


def test_a_signal_ends_the_run_as_resumable(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    result = execute(toy(), tmp_path, STORE, Recorder(ame="signal").workers())
    assert result.exit_code == 75
    assert states(tmp_path)["ame"] == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is before
    assert execute(toy(), tmp_path, STORE, Recorder().workers()).exit_code == 0


def test_a_value_that_is_undefined_is_named_and_not_required(tmp_path: Path) -> None:
    result = execute(toy(target="clip"), tmp_path, STORE, Recorder(clip="nan").workers())
    metrics = json.loads((tmp_path / result.target / "metrics.json").read_text())
    assert (metrics["metrics"], metrics["undefined"]) == ({}, ["loss"])


def test_force_keeps_the_earlier_target_and_its_parents(tmp_path: Path) -> None:
    recorder = Recorder()
    execute(toy(), tmp_path, STORE, recorder.workers())
    recorder.worked.clear()
    result = execute(toy(), tmp_path, STORE, recorder.workers(), force=True)
    assert recorder.worked == ["evaluate"]
    assert (tmp_path / ".archive" / f"{result.target}.0" / "metrics.json").exists()


def test_a_locked_target_is_refused(tmp_path: Path) -> None:
    target = plan(toy(), "5" * 64)[-1].folder(tmp_path)
    with target.lock(), pytest.raises(RunLockedError):
        execute(toy(), tmp_path, STORE, Recorder().workers())


def test_two_runs_at_once_make_a_shared_parent_once(tmp_path: Path) -> None:
    worked: list[str] = []

    def slow(work: Work) -> Measured:
        time.sleep(0.2)
        worked.append(work.run.id)
        return Measured({"loss": 1.0})

    def run(steps: int) -> None:
        execute(toy(f"eac.steps={steps}"), tmp_path, STORE, dict.fromkeys(STAGES, slow))

    threads = [threading.Thread(target=run, args=(steps,)) for steps in (3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(worked) == len(set(worked)) == 10  # 6 shared, then eac and evaluate twice
    assert set(states(tmp_path).values()) == {"done"}


def test_a_run_is_read_back_from_its_folder_alone(tmp_path: Path) -> None:
    result = execute(toy("eac.steps=7"), tmp_path, STORE, Recorder().workers())
    target = plan(toy("eac.steps=7"), "5" * 64)[-1]
    again = read_run(target.folder(tmp_path))
    assert again == target
    assert again.id == result.target
    provenance = json.loads((tmp_path / target.id / "provenance.json").read_text())
    assert {"git", "packages", "machine", "store", "argv", "parents"} <= set(provenance)
    assert provenance["parents"] == {role: parent.id for role, parent in target.parents.items()}


def test_status_tells_time_memory_and_progress(tmp_path: Path) -> None:
    def work(work: Work) -> Measured:
        work.progress.total = 4
        work.progress.advance(4)
        work.progress.data_wait = 0.0125
        return Measured({"loss": 1.0})

    result = execute(toy(target="clip"), tmp_path, STORE, {"clip": work})
    status = json.loads((tmp_path / result.target / "status.json").read_text())
    assert (status["step"], status["total"], status["state"]) == (4, 4, "done")
    assert status["seconds"] >= 0
    assert status["peak_memory_bytes"] > 10**7
    assert status["data_wait"] == 0.0125


@pytest.fixture
def held(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Another process that holds a shared parent and will never end by itself."""
    folder = next(run for run in plan(toy(), "5" * 64) if run.stage == "clip").folder(tmp_path)
    code = (
        "import os, sys, time; from pathlib import Path; from experiments.rundir import RunFolder\n"
        "folder = RunFolder(Path(sys.argv[1]))\n"
        "with folder.lock():\n"
        "    folder.set_status('running', pid=os.getpid()); print('working', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(folder.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    yield process
    process.kill()
    process.wait()


def test_a_waiting_run_takes_over_from_a_killed_one(held: subprocess.Popen, tmp_path: Path) -> None:
    threading.Timer(0.5, held.kill).start()
    recorder = Recorder()
    result = execute(toy(), tmp_path, STORE, recorder.workers())
    assert result.exit_code == 0
    assert "clip" in recorder.worked
    assert all(outcome.state == "done" for outcome in result.outcomes)


@pytest.mark.parametrize(
    ("file", "old", "new", "part"),
    [
        ("provenance.json", "5" * 64, "6" * 64, "was made on the store 666666666666, this one is 555555555555"),
        ("config.yaml", "split: toy", "split: mead_authors", "was made on the split mead_authors, not toy"),
        ("status.json", '"hash": "', '"hash": "0', "is of another configuration"),
    ],
)
def test_a_child_refuses_a_parent_made_on_something_else(
    tmp_path: Path, file: str, old: str, new: str, part: str
) -> None:
    """As a folder that was copied or edited by hand may be."""
    planned = plan(toy(), "5" * 64)
    execute(toy(), tmp_path, STORE, Recorder().workers())
    eac, target = (next(run for run in planned if run.stage == stage) for stage in ("eac", "evaluate"))
    place = eac.folder(tmp_path).path / file
    assert old in place.read_text()
    place.write_text(place.read_text().replace(old, new))
    with pytest.raises(UserError, match=part):
        check_parents(target, tmp_path, STORE["hash"])


def test_provenance_names_the_weights_that_a_run_stands_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vgg.pth").write_bytes(b"weights")
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "model.bin").write_bytes(b"more")
    monkeypatch.setattr("experiments.runner.difference", lambda: "--- a changed line")

    def work(work: Work) -> Measured:
        work.folder.checkpoints.mkdir()
        (work.folder.checkpoints / "final.pt").write_bytes(work.run.stage.encode())
        return Measured({"loss": 0.5})

    words = (f"hef.perceptual_path={tmp_path / 'vgg.pth'}", f"ame.text.gpt2_model={tmp_path / 'gpt2'}")
    result = execute(toy(*words), tmp_path / "runs", STORE, dict.fromkeys(STAGES, work))
    told = json.loads((tmp_path / "runs" / result.target / "provenance.json").read_text())
    assert told["weights"].keys() == {"hef.perceptual_path", "ame.text.gpt2_model"}
    assert told["weights"]["hef.perceptual_path"]["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert told["parent_weights"]["eac"] == hashlib.sha256(b"eac").hexdigest()
    assert told["parent_weights"].keys() == told["parents"].keys()
    assert (tmp_path / "runs" / result.target / "changes.patch").read_text() == "--- a changed line"


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_without_wandb_everything_is_done_with_one_warning_a_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    result = execute(compose("toy", overrides=[f"tracking.mode={mode}"]), tmp_path, STORE, Recorder().workers())
    assert result.exit_code == 0
    assert set(states(tmp_path).values()) == {"done"}
    assert capsys.readouterr().err.count("W&B left out") == len(result.outcomes)
