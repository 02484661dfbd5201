"""Worker processes for doubtful input: a task that hangs or kills its process is reported, and the rest goes on."""

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from conventions.files import reason_of

TASK_LIMIT_S = 3600.0
"""Time that one task may take: twenty minutes of full HD pass, a file that hangs does not."""


@dataclass(frozen=True)
class Outcome:
    """What became of one task."""

    index: int
    value: Any = None
    failure: str | None = None
    """`timed_out` or `crashed`; None where `value` is the task's result."""


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: int | None = None
    began: float | None = None
    """When it took up its task; None while it is still starting."""

    def late(self, limit_s: float) -> bool:
        return self.began is not None and time.monotonic() - self.began > limit_s


def _serve(function: Callable[[Any], Any], pipe: Connection) -> None:
    """A worker's life: say that it is there, receive a task, send its result, until the pipe closes."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    pipe.send(("ready", None))
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            answer = ("value", function(task))
        except UserError as error:
            answer = ("error", UserError(str(error)))
        except OSError as error:
            answer = ("error", OSError(error.errno, reason_of(error), error.filename))
        except Exception as error:
            answer = ("error", RuntimeError(f"a worker failed: {described(error)}"))
        pipe.send(answer)


def described(error: Exception) -> str:
    """`ValueError: bad magic (audio.py:12)`: an error on one line, with the place where it came up."""
    place = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    where = f" ({Path(place.filename).name}:{place.lineno})" if place else ""
    return f"{type(error).__name__}: {reason_of(error)}{where}"


def _die_with_parent() -> None:
    """End this process with the one that started it, so that no orphan writes into what the next call takes up."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def run_tasks(
    function: Callable[[Any], Any], tasks: Sequence[Any], workers: int, limit_s: float = TASK_LIMIT_S
) -> Iterator[Outcome]:
    """Outcomes of `function(task)` in the order in which they finish.

    With 0 workers the tasks run in this process, without a time limit and at its peril. A `UserError` or a bug in a
    task ends the run.
    """
    if workers == 0:
        for index, task in enumerate(tasks):
            yield Outcome(index, function(task))
        return
    pool = [_start(function) for _ in range(min(workers, len(tasks)))]
    try:
        yield from _supervise(function, tasks, pool, limit_s)
    finally:
        for worker in pool:
            worker.pipe.close()
            worker.process.kill()
            worker.process.join()


def _start(function: Callable[[Any], Any]) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(function, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _supervise(
    function: Callable[[Any], Any], tasks: Sequence[Any], pool: list[_Worker], limit_s: float
) -> Iterator[Outcome]:
    waiting = iter(range(len(tasks)))
    for worker in pool:
        _assign(worker, function, tasks, waiting)
    while busy := [worker for worker in pool if worker.task is not None]:
        ready = wait([worker.pipe for worker in busy], timeout=0.5)
        for worker in busy:
            if worker.pipe not in ready and not worker.late(limit_s):
                continue
            outcome = _collect(worker) if worker.pipe in ready else Outcome(worker.task or 0, failure="timed_out")
            if outcome is None:
                worker.began = time.monotonic()
                continue
            yield outcome
            if outcome.failure is not None:
                _renew(worker, function)
            _assign(worker, function, tasks, waiting)


def _renew(worker: _Worker, function: Callable[[Any], Any]) -> None:
    """A new process in the place of one that is dead or shall be."""
    worker.pipe.close()
    worker.process.kill()
    worker.process.join()
    fresh = _start(function)
    worker.process, worker.pipe, worker.began = fresh.process, fresh.pipe, None


def _assign(worker: _Worker, function: Callable[[Any], Any], tasks: Sequence[Any], waiting: Iterator[int]) -> None:
    worker.task = next(waiting, None)
    if worker.began is not None:
        worker.began = time.monotonic()
    if worker.task is None:
        return
    try:
        worker.pipe.send(tasks[worker.task])
    except OSError:  # it died between two tasks, and this one never reached it
        _renew(worker, function)
        worker.pipe.send(tasks[worker.task])


def _collect(worker: _Worker) -> Outcome | None:
    """A worker's report on its task; None reports that it has started and now begins."""
    assert worker.task is not None
    try:
        kind, value = worker.pipe.recv()
    except (EOFError, OSError):
        return Outcome(worker.task, failure="crashed")
    if kind == "ready":
        return None
    if kind == "error":
        raise value
    return Outcome(worker.task, value)
