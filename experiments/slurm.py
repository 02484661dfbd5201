"""Slurm launcher: a sweep as one job array through submitit, one task a run, each task a process of its own.

What is done, queued or running is not submitted again, and the run's own lock refuses whatever slips through. A run
that reaches its time limit or is preempted is stopped at a safe point, queued again and goes on where it stopped.
Slurm is asked through `squeue` alone: many clusters keep no accounts that `sacct` could read.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conventions.errors import EXIT_INTERRUPTED, MissingPackage, UserError
from conventions.files import write_json
from experiments.launchers import (
    ROOT,
    Board,
    JobReport,
    JobState,
    StateOf,
    cli_command,
    ended_line,
    ending,
    last_line,
    run_variables,
)
from experiments.progress import Interruption, say
from experiments.rundir import RunFolder
from experiments.sweep import SweepJob

POLL_SECONDS = 5.0
"""Between two questions to Slurm; one question covers all tasks."""
GRACE_SECONDS = 10.0
"""How long a task's result may take to show on a shared disk after Slurm has called the task ended."""
SIGNAL_SECONDS = 90
"""How long before the time limit a run is asked to stop."""
STOP_SECONDS = 60
"""How long a run may take to stop before it is killed; it then goes on from its last checkpoint."""
MAX_TIMEOUTS = 100
"""How often one run may reach its time limit and be queued again."""
LEAST_MINUTES = 5

WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
BROKEN = {"BOOT_FAIL", "DEADLINE", "FAILED", "OUT_OF_MEMORY"}
"""Ends that calling again does not mend by itself."""
ENDED = {"CANCELLED", "COMPLETED", "NODE_FAIL", "PREEMPTED", "REVOKED", "TIMEOUT"} | BROKEN

Queue = Mapping[str, str]
"""Slurm's state of every task by its id, such as {"12_3": "RUNNING"}."""
Ending = tuple[JobState, str | None, float]
"""State, reason and seconds: what a task leaves behind."""


@dataclass(frozen=True)
class Resources:
    """What one run asks Slurm for; None leaves it to the cluster's own default."""

    partition: str | None = None
    minutes: int = 240
    gpus: int | None = None
    cpus: int | None = None
    memory_gb: int | None = None

    def __post_init__(self) -> None:
        least = {"time": (self.minutes, LEAST_MINUTES), "gpus": (self.gpus, 0)}
        least |= {"cpus": (self.cpus, 1), "mem": (self.memory_gb, 1)}
        for name, (value, bound) in least.items():
            if value is not None and value < bound:
                raise UserError(f"--{name}: {value} is not valid; it must be at least {bound}")


def parameters(resources: Resources, name: str, at_once: int, environment: Mapping[str, str]) -> dict[str, Any]:
    """What submitit is given for an array of which `at_once` tasks may run at a time."""
    optional = {
        "partition": resources.partition,
        "gpus_per_node": resources.gpus or None,
        "cpus_per_task": resources.cpus,
        # srun does not take --cpus-per-task over from sbatch since Slurm 22.05
        "srun_args": [f"--cpus-per-task={resources.cpus}"] if resources.cpus else None,
        "mem": f"{resources.memory_gb}GB" if resources.memory_gb else None,
    }
    return {
        "job_name": f"emospace-{name}",
        "time": resources.minutes,
        "array_parallelism": at_once,
        "signal_delay_s": SIGNAL_SECONDS,
        "stderr_to_stdout": True,
        "setup": [f"export {key}={shlex.quote(value)}" for key, value in environment.items()],
        "additional_parameters": {"requeue": True},
        **{key: value for key, value in optional.items() if value is not None},
    }


@dataclass
class RunTask:
    """What a task does: the run's own command in a process of its own, its words appended to `log`."""

    command: list[str]
    log: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __call__(self) -> Ending:
        """Run to the end; a run that was stopped without a cancellation of its task (preemption) is queued again."""
        begun = time.monotonic()
        with self.log.open("ab") as file:
            self._process = process = subprocess.Popen(
                self.command,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=run_environment(os.environ),
                preexec_fn=_ignore_slurms_warning,
            )
        while process.poll() is None:  # not wait(): `checkpoint` comes in a signal handler and waits itself
            time.sleep(0.2)
        if process.returncode == EXIT_INTERRUPTED:
            _requeue_unless_cancelled()
        return *ending(process.returncode, self.log), time.monotonic() - begun

    def checkpoint(self) -> Any:
        """Submitit's call before the time limit: stop the run at a safe point; the same task is queued again."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return DelayedSubmission(RunTask(self.command, self.log))


def run_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without Slurm's variables: a run is the same as on one's own machine, processes of DDP included.

    Lightning would otherwise take the task's single process for the whole run.
    """
    own = {key: value for key, value in environment.items() if not key.startswith("SLURM_")}
    if "SLURM_CPUS_PER_TASK" in environment:
        own.setdefault("OMP_NUM_THREADS", environment["SLURM_CPUS_PER_TASK"])
    return own


def _ignore_slurms_warning() -> None:
    """Slurm warns every process of a task; the task's own process answers it, the run must not die of it."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def _requeue_unless_cancelled() -> None:
    """Leave without a result, which a task that has ended writes, where this task is to run again."""
    import submitit

    task = submitit.JobEnvironment().job_id
    if _restarts(task) > int(os.environ.get("SLURM_RESTART_COUNT", 0)):  # Slurm took the node and queued it again
        sys.exit(EXIT_INTERRUPTED)
    if (queue_states() or {}).get(task) == "RUNNING":
        requeued = subprocess.run(["scontrol", "requeue", task], check=False)
        if requeued.returncode == 0:
            sys.exit(EXIT_INTERRUPTED)


def _restarts(task: str) -> int:
    """How often Slurm has queued a task again."""
    answer = subprocess.run(["scontrol", "show", "job", task], capture_output=True, text=True, check=False)
    found = re.search(r"\bRestarts=(\d+)", answer.stdout)
    return int(found.group(1)) if found else 0


def queue_states() -> Queue | None:
    """Slurm's state of each of the user's tasks, those that ended some minutes ago included; None: no answer."""
    words = ["squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i %T"]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    if answer.returncode:
        return None
    return dict(line.split() for line in answer.stdout.splitlines() if len(line.split()) == 2)


def job_state(word: str | None) -> JobState | None:
    """Slurm's word as ours; None: the task has ended or is no longer known."""
    if word is None or word in ENDED:
        return None
    return "waiting" if word in WAITING else "running"


class SlurmLauncher:
    """Runs a sweep's jobs as a Slurm array; `slots` bounds how many run at a time.

    `state_of` reads the state of a job's run from its folder; with `wait` false `run` returns after submitting.
    """

    def __init__(
        self, resources: Resources, runs: Path, state_of: StateOf, *, slots: int | None = None, wait: bool = True
    ) -> None:
        if slots is not None and slots < 1:
            raise UserError(f"--slots: {slots} is not valid; it must be at least 1")
        self.resources, self.runs, self.state_of = resources, runs.resolve(), state_of
        self.slots, self.wait = slots, wait
        self.board = Board()

    def run(self, jobs: Sequence[SweepJob], logs: Path) -> list[JobReport]:
        """Submit what is neither done nor on its way, then follow all until they end or someone asks to stop."""
        queue = _first_answer()
        folder = (logs / "slurm").resolve()
        folder.mkdir(parents=True, exist_ok=True)
        reports = [JobReport(job, log=folder.parent / f"{number:04}.log") for number, job in enumerate(jobs)]
        known = RunFolder(folder).read("tasks.json")
        missing = [number for number, report in enumerate(reports) if self._is_missing(report, known, queue)]
        if missing:
            tasks = [RunTask(cli_command(jobs[number]), folder.parent / f"{number:04}.log") for number in missing]
            for number, task in zip(missing, self._submit(tasks, folder), strict=True):
                reports[number].task = task
            write_json(folder / "tasks.json", known | {r.job.label: r.task for r in reports if r.task})
        followed = [report for report in reports if report.task]
        say(f"Slurm: {len(missing)} of {len(jobs)} runs submitted; {_where(followed)} (progress: {folder.parent})")
        if self.wait:
            self._follow(followed, folder)
        return reports

    def _is_missing(self, report: JobReport, known: Mapping[str, str], queue: Queue) -> bool:
        """Whether the run must be submitted; otherwise its report has the reason."""
        task = known.get(report.job.label)
        if task and (state := job_state(queue.get(task))):
            report.state, report.task = state, task
            return False
        state = self.state_of(report.job)
        if state == "done":
            report.state = "done"
        elif state == "running":
            report.state, report.reason = "running", "another process works on it"
        return state not in ("done", "running")

    def _submit(self, tasks: Sequence[RunTask], folder: Path) -> list[str]:
        try:
            import submitit
            from submitit.core.utils import FailedJobError
        except ImportError as error:
            raise MissingPackage("submitit", "slurm", "--launcher slurm") from error
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        name, at_once = folder.parent.name, self.slots or len(tasks)
        environment = {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", **run_variables(self.runs, name)}
        executor = submitit.SlurmExecutor(folder, max_num_timeout=MAX_TIMEOUTS)
        executor.update_parameters(**parameters(self.resources, name, at_once, environment))
        try:
            with executor.batch():
                submitted = [executor.submit(task) for task in tasks]
        except FailedJobError as error:
            raise UserError(f"--launcher slurm: {last_line(str(error)).strip() or 'no output'}") from error
        return [str(job.job_id) for job in submitted]

    def _follow(self, reports: Sequence[JobReport], folder: Path) -> None:
        ended_since: dict[str, float] = {}
        with Interruption().listening() as interruption:
            while any(report.state in ("waiting", "running") for report in reports):
                if (queue := queue_states()) is not None:
                    for report in reports:
                        if report.state in ("waiting", "running"):
                            self._update(report, queue, folder, ended_since)
                            if report.state not in ("waiting", "running"):
                                self.board.say(ended_line(report, reports))
                self.board.show(reports)
                if not _sleep(POLL_SECONDS, interruption):
                    left = [report for report in reports if report.state in ("waiting", "running")]
                    self.board.clear()
                    say(f"Slurm continues with {_where(left)}; the same command follows it again, scancel cancels it")
                    return

    def _update(self, report: JobReport, queue: Queue, folder: Path, ended_since: dict[str, float]) -> None:
        assert report.task is not None
        found, word = result_of(report.task, folder), queue.get(report.task)
        if found is not None:
            report.state, report.reason, report.seconds = found
        elif state := job_state(word):
            ended_since.pop(report.task, None)
            if state == "running" and report.state == "waiting":
                self.board.say(f"{report.job.label}: starts (Slurm's task {report.task})")
            report.state = state
        elif time.monotonic() - ended_since.setdefault(report.task, time.monotonic()) >= GRACE_SECONDS:
            report.state, report.reason = ended_without_result(word)


def result_of(task: str, folder: Path) -> Ending | None:
    """What a task left behind; None while it has not ended, or when it was killed."""
    from submitit.core.utils import JobPaths, pickle_load

    path = JobPaths(folder, task, 0).result_pickle
    if not path.exists():
        return None
    outcome, value = pickle_load(path)
    return value if outcome == "success" else ("failed", last_line(value).strip() or "no output", 0.0)


def ended_without_result(word: str | None) -> tuple[JobState, str]:
    """State and reason of a task that was killed, by the last state that Slurm reported."""
    said = (word or "gone from the queue").lower().replace("_", " ")
    if word in BROKEN:
        return "failed", f"Slurm: {said}"
    return "interrupted", f"Slurm: {said}; the same command resumes"


def _first_answer() -> Queue:
    """The queue, or UserError where there is no Slurm or it does not answer."""
    if shutil.which("sbatch") is None:
        raise UserError(
            "--launcher slurm: sbatch was not found; run this on a machine of the cluster, or use --launcher local"
        )
    if (queue := queue_states()) is None:
        raise UserError("--launcher slurm: squeue does not answer; check that Slurm is running (`scontrol ping`)")
    return queue


def _where(reports: Sequence[JobReport]) -> str:
    """`job 12, 15`, or that there is none."""
    found = sorted({str(report.task).partition("_")[0] for report in reports}, key=int)
    return f"job {', '.join(found)}" if found else "nothing to wait for"


def _sleep(seconds: float, interruption: Interruption) -> bool:
    """False when someone asked to stop meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not interruption.wanted:
        time.sleep(0.1)
    return not interruption.wanted
