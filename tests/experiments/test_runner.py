import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conventions.errors import UserError
from experiments.checks import check_parents
from experiments.graph import STAGES, Experiment, compose, plan
from experiments.readback import read_run
from experiments.rundir import RunLockedError, list_runs
from experiments.runner import Result, execute, write_metrics
from experiments.stage import Measured, StageRun, Work

QUIET = ("tracking.mode=disabled",)


@pytest.fixture(autouse=True)
def _at_the_store(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset `toy` finds its store in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    store.rename(tmp_path / "work" / "toy-store")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


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
        return Measured({"loss": 0.5})


def run_with(work: Callable[[Work], Measured], experiment: Experiment, runs: Path, **options: bool) -> Result:
    """Execute the experiment with `work` in place of every stage's own."""
    with pytest.MonkeyPatch.context() as patch:
        for stage in STAGES.values():
            patch.setattr(type(stage), "work", lambda self, given: work(given))
        return execute(experiment, runs, **options)


def toy(*words: str, target: str = "evaluate") -> Experiment:
    return compose("toy", overrides=[*QUIET, *words], target=target)


def states(runs: Path) -> dict[str, str]:
    return {run.id.split(".")[0]: run.state for run in list_runs(runs)}


def test_everything_is_made_once(runs: Path) -> None:
    recorder = Recorder()
    first = run_with(recorder, toy(), runs)
    assert first.exit_code == 0
    assert sorted(recorder.worked) == ["ame", "clip", "critics", "eac", "evaluate", "hef", "judges", "references"]
    assert set(states(runs).values()) == {"done"}
    again = run_with(recorder, toy(), runs)
    assert [outcome.state for outcome in again.outcomes] == ["was done"]
    assert len(recorder.worked) == 8


def test_a_changed_stage_reuses_its_parents(runs: Path) -> None:
    recorder = Recorder()
    run_with(recorder, toy(), runs)
    recorder.worked.clear()
    run_with(recorder, toy("eac.steps=7"), runs)
    assert recorder.worked == ["eac", "evaluate"]


def test_a_failure_is_recorded_with_its_reason_and_tried_again(runs: Path) -> None:
    broken = Recorder(eac=MemoryError("7 GB\nare too much"))
    result = run_with(broken, toy(), runs)
    assert result.exit_code == 1
    assert result.outcomes[-1].reason == "MemoryError: 7 GB"
    [failed] = [run for run in list_runs(runs) if run.state == "failed"]
    assert (failed.id.split(".")[0], failed.reason) == ("eac", "MemoryError: 7 GB")
    assert "are too much" in (runs / failed.id / "error.txt").read_text()
    assert run_with(Recorder(), toy(), runs).exit_code == 0


def test_a_users_error_passes_through_and_is_recorded(runs: Path) -> None:
    with pytest.raises(UserError, match="no landmark weights"):
        run_with(Recorder(judges=UserError("no landmark weights")), toy(), runs)
    assert states(runs)["judges"] == "failed"


def test_a_signal_ends_the_run_as_resumable(runs: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    result = run_with(Recorder(ame="signal"), toy(), runs)
    assert result.exit_code == 75
    assert states(runs)["ame"] == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is before
    assert run_with(Recorder(), toy(), runs).exit_code == 0


def test_a_value_that_its_stage_declares_undefined_is_named_and_not_required(runs: Path) -> None:
    run = plan(toy(target="eac"))[-1]
    write_metrics(run, run.folder(runs), Measured({"mouth_correlation": float("nan"), "coefficient_error": 0.5}))
    metrics = run.folder(runs).read("metrics.json")
    assert (metrics["metrics"], metrics["undefined"]) == ({"coefficient_error": 0.5}, ["mouth_correlation"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_any_other_value_that_is_not_finite_fails_the_run(runs: Path, value: float) -> None:
    result = run_with(lambda work: Measured({"perplexity": value}), toy(target="gpt2"), runs)
    assert result.exit_code == 1
    assert "metric 'perplexity' of stage gpt2 is not finite" in str(result.outcomes[-1].reason)
    assert states(runs) == {"gpt2": "failed"}


def test_force_keeps_the_earlier_target_and_its_parents(runs: Path) -> None:
    recorder = Recorder()
    run_with(recorder, toy(), runs)
    recorder.worked.clear()
    result = run_with(recorder, toy(), runs, force=True)
    assert recorder.worked == ["evaluate"]
    assert (runs / ".archive" / f"{result.target}.0" / "metrics.json").exists()


def test_a_locked_target_is_refused(runs: Path) -> None:
    target = plan(toy())[-1].folder(runs)
    with target.lock(), pytest.raises(RunLockedError):
        run_with(Recorder(), toy(), runs)


def test_two_runs_at_once_make_a_shared_parent_once(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worked: list[str] = []

    def slow(work: Work) -> Measured:
        time.sleep(0.2)
        worked.append(work.run.id)
        return Measured({"loss": 1.0})

    def run(steps: int) -> None:
        execute(toy(f"eac.steps={steps}"), runs)

    for stage in STAGES.values():
        monkeypatch.setattr(type(stage), "work", lambda self, given: slow(given))
    threads = [threading.Thread(target=run, args=(steps,)) for steps in (3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(worked) == len(set(worked)) == 10  # 6 shared, then eac and evaluate twice
    assert set(states(runs).values()) == {"done"}


def test_a_run_is_read_back_from_its_folder_alone(runs: Path) -> None:
    result = run_with(Recorder(), toy("eac.steps=7"), runs)
    target = plan(toy("eac.steps=7"))[-1]
    again = read_run(target.folder(runs))
    assert again == target
    assert again.id == result.target
    provenance = json.loads((runs / target.id / "provenance.json").read_text())
    assert {"git", "packages", "machine", "store", "argv", "parents"} <= set(provenance)
    assert provenance["parents"] == {role: parent.id for role, parent in target.parents.items()}


def test_status_tells_time_memory_and_progress(runs: Path) -> None:
    def work(work: Work) -> Measured:
        work.progress.total = 4
        work.progress.advance(4)
        work.progress.data_wait = 0.0125
        return Measured({"loss": 1.0})

    result = run_with(work, toy(target="clip"), runs)
    status = json.loads((runs / result.target / "status.json").read_text())
    assert (status["step"], status["total"], status["state"]) == (4, 4, "done")
    assert status["seconds"] >= 0
    assert status["peak_memory_bytes"] > 10**7
    assert status["data_wait"] == 0.0125


@pytest.fixture
def held(runs: Path) -> Iterator[subprocess.Popen]:
    """Another process that holds a shared parent and will never end by itself."""
    folder = next(run for run in plan(toy()) if run.stage == "clip").folder(runs)
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


def test_a_waiting_run_takes_over_from_a_killed_one(held: subprocess.Popen, runs: Path) -> None:
    threading.Timer(0.5, held.kill).start()
    recorder = Recorder()
    result = run_with(recorder, toy(), runs)
    assert result.exit_code == 0
    assert "clip" in recorder.worked
    assert all(outcome.state == "done" for outcome in result.outcomes)


def test_while_a_parent_is_trained_elsewhere_other_stages_are_run(held: subprocess.Popen, runs: Path) -> None:
    planned, recorder = plan(toy()), Recorder()
    free = {run.stage for run in planned if not needs(run, "clip")}
    assert free, "some stages do not need the held one"

    def work(work: Work) -> Measured:
        if free == {*recorder.worked, work.run.stage}:
            held.kill()
        return recorder(work)

    assert run_with(work, toy(), runs).exit_code == 0
    assert set(recorder.worked[: len(free)]) == free
    assert sorted(recorder.worked) == sorted(run.stage for run in planned)


def needs(run: StageRun, stage: str) -> bool:
    """Whether a run is of the stage, or has such an ancestor."""
    return run.stage == stage or any(needs(parent, stage) for parent in run.parents.values())


def test_processes_of_a_distributed_run_keep_the_order_of_the_plan(held: subprocess.Popen, runs: Path) -> None:
    threading.Timer(0.5, held.kill).start()
    experiment, recorder = toy("trainer.devices=2"), Recorder()
    assert run_with(recorder, experiment, runs).exit_code == 0
    assert recorder.worked == [run.stage for run in plan(experiment)]


@pytest.mark.parametrize(
    ("file", "old", "new", "part"),
    [
        ("provenance.json", "5" * 64, "6" * 64, "was trained on the store 666666666666, not on 555555555555"),
        ("status.json", '"hash": "', '"hash": "0', "has another configuration"),
    ],
)
def test_a_child_refuses_a_parent_made_on_something_else(runs: Path, file: str, old: str, new: str, part: str) -> None:
    """As a folder that was copied or edited by hand may be."""
    planned = plan(toy())
    run_with(Recorder(), toy(), runs)
    eac, target = (next(run for run in planned if run.stage == stage) for stage in ("eac", "evaluate"))
    place = eac.folder(runs).path / file
    assert old in place.read_text()
    place.write_text(place.read_text().replace(old, new))
    with pytest.raises(UserError, match=part):
        check_parents(target, runs)


def test_provenance_names_the_files_that_a_run_reads(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vgg.pth").write_bytes(b"weights")
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "model.bin").write_bytes(b"more")
    monkeypatch.setattr("experiments.runner.difference", lambda: "--- a changed line")

    def work(work: Work) -> Measured:
        work.folder.checkpoints.mkdir()
        (work.folder.checkpoints / "final.pt").write_bytes(work.run.stage.encode())
        return Measured({"loss": 0.5})

    words = (f"losses.networks.perceptual={tmp_path / 'vgg.pth'}", f"ame.text.gpt2_model={tmp_path / 'gpt2'}")
    result = run_with(work, toy(*words), runs)
    files = {run.id.split(".")[0]: runs / run.id / "provenance.json" for run in list_runs(runs)}
    by_stage = {stage: json.loads(path.read_text()) for stage, path in files.items()}
    assert by_stage["hef"]["files"].keys() == {"prompts.yaml", "losses.networks.perceptual"}
    assert by_stage["hef"]["files"]["losses.networks.perceptual"]["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert "ame.text.gpt2_model" in by_stage["ame"]["files"]
    told = by_stage["evaluate"]
    assert told["parent_weights"]["eac"] == hashlib.sha256(b"eac").hexdigest()
    assert told["parent_weights"].keys() == told["parents"].keys()
    assert (runs / result.target / "changes.patch").read_text() == "--- a changed line"


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_without_wandb_everything_is_done_with_one_warning_a_stage(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    result = run_with(Recorder(), compose("toy", overrides=[f"tracking.mode={mode}"]), runs)
    assert result.exit_code == 0
    assert set(states(runs).values()) == {"done"}
    assert capsys.readouterr().err.count("not logged to W&B") == len(result.outcomes)
