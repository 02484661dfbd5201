"""Slurm launcher: what is asked for, what is not submitted again, and, where there is a Slurm, a sweep on it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conventions.errors import UserError
from datamodules.manifest import VERSION
from experiments import slurm
from experiments.launchers import JobReport, exit_code
from experiments.rundir import State, read_history
from experiments.slurm import Resources, RunTask, SlurmLauncher, ended_without_result, parameters, run_environment
from experiments.sweep import SweepJob

JOBS = [SweepJob(("toy", f"seed={seed}")) for seed in range(5)]


def test_parameters_are_those_of_the_options() -> None:
    asked = parameters(Resources("gpu", 60, 1, 8, 32), "table3", 4, {"EMOSPACE_RUNS": "/disk/my runs"})
    assert asked == {
        "job_name": "emospace-table3",
        "partition": "gpu",
        "time": 60,
        "gpus_per_node": 1,
        "cpus_per_task": 8,
        "srun_args": ["--cpus-per-task=8"],
        "mem": "32GB",
        "array_parallelism": 4,
        "signal_delay_s": 90,
        "stderr_to_stdout": True,
        "setup": ["export EMOSPACE_RUNS='/disk/my runs'"],
        "additional_parameters": {"requeue": True},
    }


def test_what_is_not_asked_for_is_left_to_the_cluster() -> None:
    left = {"partition", "gpus_per_node", "cpus_per_task", "srun_args", "mem"}
    assert not left & set(parameters(Resources(), "demo", 1, {}))


def test_submitit_knows_every_parameter(tmp_path: Path) -> None:
    text = pytest.importorskip("submitit.slurm.slurm")._make_sbatch_string(
        command="true", folder=tmp_path, map_count=3, **parameters(Resources("gpu", 60, 1, 8, 32), "demo", 2, {})
    )
    for flag in ("--array=0-2%2", "--requeue", "--gpus-per-node=1", "--signal=USR2@90", "--time=60", "--mem=32GB"):
        assert f"#SBATCH {flag}\n" in text


@pytest.mark.parametrize(
    ("wrong", "part"), [({"minutes": 1}, "--time: 1"), ({"cpus": 0}, "--cpus: 0"), ({"gpus": -1}, "--gpus: -1")]
)
def test_impossible_resources_are_one_line(wrong: dict[str, Any], part: str) -> None:
    with pytest.raises(UserError, match=part):
        Resources(**wrong)


def test_without_slurm_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="sbatch was not found"):
        SlurmLauncher(Resources(), tmp_path, lambda job: "missing").run(JOBS, tmp_path)


def test_only_what_is_neither_done_nor_on_its_way_is_submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Done by its folder, in a local process, running in the queue, gone from the queue, never seen."""
    submitted: list[RunTask] = []

    def submit(self: SlurmLauncher, tasks: list[RunTask], folder: Path) -> list[str]:
        submitted.extend(tasks)
        return [f"9_{number}" for number in range(len(tasks))]

    folder = tmp_path / "demo" / "slurm"
    folder.mkdir(parents=True)
    earlier = {JOBS[2].label: "7_0", JOBS[3].label: "7_1"}
    (folder / "tasks.json").write_text(json.dumps(earlier))
    states: dict[str, State] = {JOBS[0].label: "done", JOBS[1].label: "running", JOBS[3].label: "interrupted"}
    monkeypatch.setattr(slurm, "_first_answer", lambda: {"7_0": "RUNNING", "7_1": "CANCELLED"})
    monkeypatch.setattr(SlurmLauncher, "_submit", submit)
    launcher = SlurmLauncher(Resources(), tmp_path, lambda job: states.get(job.label, "missing"), wait=False)
    reports = launcher.run(JOBS, tmp_path / "demo")
    assert [task.command[-1] for task in submitted] == ["seed=3", "seed=4"]
    assert [report.state for report in reports] == ["done", "running", "running", "waiting", "waiting"]
    assert [report.task for report in reports] == [None, None, "7_0", "9_0", "9_1"]
    assert exit_code(reports) == 75
    known = json.loads((folder / "tasks.json").read_text())
    assert known == {JOBS[2].label: "7_0", JOBS[3].label: "9_0", JOBS[4].label: "9_1"}


def test_tasks_are_followed_to_their_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One ends well, one raises, one is on a node that dies; Slurm's silence in between changes nothing."""
    answers = iter(
        [{"9_0": "PENDING", "9_1": "RUNNING", "9_2": "RUNNING"}, None, {"9_0": "RUNNING", "9_2": "NODE_FAIL"}]
    )
    ends: dict[str, tuple[Any, ...]] = {}

    def queue() -> dict[str, str] | None:
        answer = next(answers, {"9_2": "NODE_FAIL"})
        if answer == {"9_2": "NODE_FAIL"}:
            ends.update({"9_0": ("done", None, 3.0), "9_1": ("failed", "MemoryError: 7 GB", 2.0)})
        return answer

    monkeypatch.setattr(slurm, "queue_states", queue)
    monkeypatch.setattr(slurm, "result_of", lambda task, folder: ends.get(task))
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(slurm, "GRACE_SECONDS", 0.2)
    reports = [JobReport(job, "waiting", task=f"9_{number}") for number, job in enumerate(JOBS[:3])]
    SlurmLauncher(Resources(), tmp_path, lambda job: "missing")._follow(reports, tmp_path)
    assert [report.state for report in reports] == ["done", "failed", "interrupted"]
    assert "node fail" in str(reports[2].reason)
    assert exit_code(reports) == 1
    told = capsys.readouterr().err
    assert "starts (Slurm's task 9_0)" in told
    assert "[3/3]" in told


def test_a_task_ends_as_a_local_run_does(tmp_path: Path) -> None:
    def ended(code: str) -> tuple[Any, ...]:
        return RunTask([sys.executable, "-c", code], tmp_path / "log")()[:2]

    assert ended("print('fine')") == ("done", None)
    assert ended("raise MemoryError('7 GB')") == ("failed", "MemoryError: 7 GB")
    assert ended("import os; os.kill(os.getpid(), 9)") == ("failed", "killed by signal 9")
    assert (tmp_path / "log").read_text().startswith("fine\n"), "a run's later tries do not hide its earlier ones"


def test_slurms_warning_does_not_end_the_run(tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGUSR2)"
    assert RunTask([sys.executable, "-c", code], tmp_path / "log")()[0] == "done"


def test_a_checkpoint_stops_the_run_and_queues_the_same_task(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    task = RunTask([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    task._process = subprocess.Popen(task.command)
    again = task.checkpoint().function
    assert task._process.poll() == -signal.SIGTERM
    assert (again.command, again.log, again._process) == (task.command, task.log, None)


@pytest.mark.parametrize(
    ("state", "restarts", "again"),
    [("RUNNING", 0, True), ("COMPLETING", 1, True), ("COMPLETING", 0, False), ("CANCELLED", 0, False)],
)
def test_an_interrupted_task_that_runs_again_leaves_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, restarts: int, again: bool
) -> None:
    """Preempted; on a node that is taken away, whereupon Slurm queues it again; cancelled."""
    pytest.importorskip("submitit")
    for name, says in (("squeue", f"7 {state}"), ("scontrol", f"JobId=7 Requeue=1 Restarts={restarts} BatchFlag=1")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {says}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    task = RunTask([sys.executable, "-c", "raise SystemExit(75)"], tmp_path / "log")
    if again:
        with pytest.raises(SystemExit):
            task()
    else:
        assert task()[0] == "interrupted"


def test_a_run_sees_nothing_of_slurm_but_its_share_of_the_cores() -> None:
    assert run_environment({"SLURM_NTASKS": "1", "SLURM_CPUS_PER_TASK": "8", "CUDA_VISIBLE_DEVICES": "1"}) == {
        "CUDA_VISIBLE_DEVICES": "1",
        "OMP_NUM_THREADS": "8",
    }


@pytest.mark.parametrize(
    ("word", "state"),
    [("CANCELLED", "interrupted"), ("NODE_FAIL", "interrupted"), (None, "interrupted"), ("OUT_OF_MEMORY", "failed")],
)
def test_a_killed_task_ends_by_slurms_word(word: str | None, state: str) -> None:
    assert ended_without_result(word)[0] == state


SWEEP = """
name: tiny
method: grid
parameters:
  prior_seed: {values: [0, 1, 2, 3, 4, 5]}
command: ["${env}", "${interpreter}", -m, emospace.cli, run, tiny.yaml, --stage, gpt2, "${args_no_hyphens}"]
"""
EXPERIMENT = """
data: {store: store}
prior:
  gpt2: {steps: 200}
tracking: {mode: disabled}
trainer: {checkpoint_every: 5, accelerator: cpu}
"""
MANIFEST = {
    **{"format": "emospace-store", "version": VERSION, "hash": "5" * 64},
    **{"coefficient_model": None, "clips": 0, "frames": 0},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep of six stand-ins of GPT-2, which need a store's name and nothing of its content."""
    if shutil.which("sbatch") is None or subprocess.run(["sinfo"], capture_output=True, check=False).returncode:
        pytest.skip("no Slurm answers here")
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "manifest.json").write_text(json.dumps(MANIFEST))
    return tmp_path


def sweep(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "emospace.cli", "sweep", "sweep.yaml", "--launcher", "slurm", "--json", *words]
    environment = {**os.environ, "PYTHONPATH": str(slurm.ROOT)}
    with (folder / "said").open("w") as said:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=said, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, Any]]]:
    told, _ = process.communicate(timeout=600)
    return process.returncode, json.loads(told)["runs"]


def trained(folder: Path) -> dict[str, list[int]]:
    """The steps in each run's curve: a run that was made twice would have some twice."""
    files = (folder / "runs").glob("gpt2.*/history.jsonl")
    return {file.parent.name: [row["step"] for row in read_history(file)] for file in files}


def assert_trained_once(folder: Path) -> None:
    """All six runs reached their last step, and none took a step twice."""
    steps = trained(folder)
    assert len(steps) == 6
    assert all(of_run == sorted(set(of_run)) and of_run[-1] == 200 for of_run in steps.values())


def wait_for(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.slow
def test_a_sweep_on_slurm_cancelled_half_way_and_finished(folder: Path) -> None:
    code, submitted = ended(sweep(folder, "--no-wait", "--slots", "2"))
    assert code == 0
    assert {run["state"] for run in submitted} == {"waiting"}
    array = {run["task"].partition("_")[0] for run in submitted}
    assert len(array) == 1

    wait_for(lambda: any(trained(folder).values()))
    following = sweep(folder)
    wait_for(lambda: "0 of 6 runs submitted" in (folder / "said").read_text())
    time.sleep(2)
    following.send_signal(signal.SIGINT)
    code, left = ended(following)
    assert code == 75, "the command that follows ends, the array does not"
    assert [run["task"] for run in left] == [run["task"] for run in submitted], "nothing is submitted again"
    going = [run["task"] for run in left if run["state"] == "running"][-1]
    subprocess.run(["scancel", going], check=True)
    wait_for(lambda: (slurm.queue_states() or {}).get(going) == "CANCELLED")

    code, runs = ended(sweep(folder, "--no-wait"))
    assert going not in [run["task"] for run in runs], "the cancelled one is submitted again"
    others = [run["task"] for run in runs if run["task"]]
    assert sum(task.partition("_")[0] not in array for task in others) == 1, "and nothing else"

    code, runs = ended(sweep(folder))
    assert (code, {run["state"] for run in runs}) == (0, {"done"})
    assert_trained_once(folder)
    logs = [path.read_text() for path in sorted((folder / "runs" / ".logs" / "tiny").glob("*.log"))]
    assert [log.count(": done in") for log in logs] == [1] * 6


NODE_MAY_DIE = "EMOSPACE_SLURM_NODE_MAY_DIE"


@pytest.mark.slow
def test_a_node_that_dies_costs_only_the_runs_on_it(folder: Path) -> None:
    """Slurm takes the node from two of the six runs; they are queued again, and all are done in the end."""
    if (node := os.environ.get(NODE_MAY_DIE)) is None:
        pytest.skip(f"{NODE_MAY_DIE} names no node that this test may take down")
    following = sweep(folder, "--slots", "2")
    try:
        wait_for(lambda: sum(map(bool, trained(folder).values())) >= 2)
        tell_slurm(node, "down")
        wait_for(lambda: "RUNNING" not in (slurm.queue_states() or {"": "RUNNING"}).values())
        before = trained(folder)
    finally:
        tell_slurm(node, "resume")
    assert any(steps[-1] < 200 for steps in before.values() if steps), "the node died while something ran"
    code, runs = ended(following)
    assert (code, {run["state"] for run in runs}) == (0, {"done"})
    assert_trained_once(folder)


def tell_slurm(node: str, state: str) -> None:
    """A node that has come back by itself (`ReturnToService=2`) cannot be resumed."""
    words = ["scontrol", "update", f"nodename={node}", f"state={state}", "reason=test"]
    subprocess.run(words, check=state != "resume")
