"""The run folder: where the truth about one run lives, whole at any moment, readable without the code that made it."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from conventions.errors import UserError
from conventions.files import write_json, write_text
from experiments.run_content import is_number, wrong_entry

State = Literal["missing", "running", "interrupted", "failed", "done", "damaged"]
HistoryRow = dict[str, float | int]
"""A row of history.jsonl: `step`, `time` and scalars."""


class RunLockedError(UserError):
    """Another live process holds the run."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: config, provenance, status, history, metrics, checkpoints/ and samples/.

    Examples:
        >>> RunFolder(Path("runs/no-such-run")).state()
        'missing'
    """

    path: Path
    """The folder; its name is the run id."""

    @property
    def id(self) -> str:
        """The run id: the folder's name."""
        return self.path.name

    @property
    def history(self) -> Path:
        """Append-only curves, one JSON object a line, each with `step`."""
        return self.path / "history.jsonl"

    @property
    def checkpoints(self) -> Path:
        """`last.ckpt` while training, `final.pt` (weights alone) when trained."""
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        """Videos and image strips of the evaluation."""
        return self.path / "samples"

    def strip(self, step: int) -> Path:
        """Images of validation clips that training writes after so many batches."""
        return self.samples / "train" / f"step-{step:07d}.png"

    def read(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the folder.

        Args:
            name: file name, such as `metrics.json`.

        Returns:
            Its content; {} where the file is missing, truncated or has an entry of the wrong type.
        """
        try:
            value = json.loads((self.path / name).read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) and wrong_entry(name, value) is None else {}

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file of the folder, whole or not at all."""
        write_json(self.path / name, dict(value))

    def write_text(self, name: str, text: str) -> None:
        """Write a text file of the folder, whole or not at all."""
        write_text(self.path / name, text)

    @property
    def status(self) -> dict[str, Any]:
        """The last written status: state, hash, pid, heartbeat, step, total, reason, seconds."""
        return self.read("status.json")

    def set_status(self, state: State, **values: Any) -> None:
        """Replace the status, keeping earlier values that `values` does not name."""
        self.write("status.json", {**self.status, "reason": None, **values, "state": state, "heartbeat": time.time()})

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process, or RunLockedError; the system frees it when the process dies."""
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(
            self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o666
        )  # the umask decides who else may hold it
        try:
            if not _acquire(descriptor):
                holder = self.status.get("pid", "unknown")
                raise RunLockedError(f"run {self.id}: is in use by process {holder}; wait for it or stop it")
            yield
        finally:
            os.close(descriptor)

    @property
    def locked(self) -> bool:
        """Whether a live process holds the run."""
        try:
            descriptor = os.open(self.path / ".lock", os.O_RDONLY)
        except PermissionError:  # another user's: nothing shows that it has ended
            return True
        except OSError:
            return False
        try:
            return not _acquire(descriptor, tries=1)
        finally:
            os.close(descriptor)

    def state(self) -> State:
        """The verified state: `done` only if complete, `running` only while a live process holds the lock."""
        return self.inspect().state

    def inspect(self) -> "Inspection":
        """The verified state and what it rests on, each file read once."""
        status = self.status
        written = status.get("state")
        if written is None and (self.path / "status.json").exists():
            return Inspection("damaged", status, {}, "status.json cannot be read")
        if written is None:
            return Inspection("running" if self.locked else "missing", status, {})
        if written == "running":
            return Inspection("running" if self.locked else "interrupted", status, {})
        if written == "done":
            metrics = self.read("metrics.json")
            flaw = self._flaw(status, metrics)
            return Inspection("done" if flaw is None else "damaged", status, metrics, flaw)
        if written in ("failed", "interrupted"):
            return Inspection(written, status, {})
        return Inspection("damaged", status, {}, f"its state {written!r} is unknown")

    def _flaw(self, status: Mapping[str, Any], metrics: Mapping[str, Any]) -> str | None:
        """Why a run with the status done is not: None when its metrics are complete, finite and of its own hash."""
        if not metrics:
            return "metrics.json is absent or cut"
        if metrics.get("hash") != status.get("hash") or not str(metrics.get("hash")).startswith(self.digest):
            return "metrics.json belongs to another configuration"
        values = metrics.get("metrics")
        if not isinstance(values, dict) or not set(metrics.get("required", ())) <= set(values):
            return "metrics.json is incomplete"
        return next((f"{name} is not finite" for name, value in values.items() if not is_number(value)), None)

    @property
    def digest(self) -> str:
        """The hash in the folder's name."""
        return self.id.rsplit(".", 1)[-1]

    def archive(self) -> Path | None:
        """Move the folder aside (`runs/.archive/<id>.<n>`); None when absent, RunLockedError when in use."""
        if not self.path.exists():
            return None
        if self.locked:
            raise RunLockedError(
                f"run {self.id}: is in use by process {self.status.get('pid')}; --force cannot archive it"
            )
        place = self.path.parent / ".archive"
        place.mkdir(exist_ok=True)
        number = sum(1 for _ in place.glob(f"{self.id}.*"))
        return self.path.rename(place / f"{self.id}.{number}")


@dataclass(frozen=True)
class Inspection:
    """A run's verified state, with the files it was read from."""

    state: State
    status: Mapping[str, Any]
    metrics: Mapping[str, Any]
    """metrics.json of a run with the status done; else empty."""
    flaw: str | None = None
    """Why it is not done although its status is `done`."""


@dataclass(frozen=True)
class RunSummary:
    """One line of `emospace status`."""

    id: str
    state: State
    progress: float | None
    """Share of the work done in [0, 1]; None when it is unknown."""
    reason: str | None
    seconds: float | None
    stage: str = ""
    title: str = ""
    """Stage, variant, seed and fields given on the command line."""
    experiment: str = ""
    sweep: str = ""


def summary(folder: RunFolder) -> RunSummary:
    """State, progress and reason of one run."""
    found = folder.inspect()
    status, state = found.status, found.state
    step, total = status.get("step"), status.get("total")
    progress = 1.0 if state == "done" else (step / total if step is not None and total else None)
    reason = status.get("reason") if found.flaw is None else found.flaw
    if state == "interrupted" and status.get("state") == "running":
        reason = f"process {status.get('pid')} ended without writing its status"
    seconds = float(status["seconds"]) if status.get("seconds") is not None else None
    labels = {name: str(status.get(name, "")) for name in ("stage", "title", "experiment", "sweep")}
    return RunSummary(folder.id, state, progress, reason, seconds, **labels)


def list_runs(runs: Path) -> list[RunSummary]:
    """Every run below `runs`, by name."""
    if not runs.is_dir():
        return []
    names = sorted(entry.name for entry in os.scandir(runs) if entry.is_dir() and not entry.name.startswith("."))
    return [summary(RunFolder(runs / name)) for name in names if (runs / name / "status.json").exists()]


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows of history.jsonl; lines that are no row, such as a last one cut by a crash, are left out."""
    rows = []
    if path.exists():
        for line in path.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict) and is_number(row.get("step"))]


def truncate_history(path: Path, step: int) -> None:
    """Drop rows after `step`: a resumed run writes them again, so none stands twice."""
    if path.exists():
        rows = [row for row in read_history(path) if row["step"] <= step]
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def _acquire(descriptor: int, tries: int = 5) -> bool:
    """Take the lock; several tries, since `RunFolder.locked` holds it for an instant when it looks."""
    for attempt in range(tries):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if attempt + 1 < tries:
                time.sleep(0.05)
    return False
