"""Several processes for one training: this one is rank 0 and keeps the run folder; the others only compute.

A further rank is `python -m experiments.ranks RUN_FOLDER`: it builds the same job from the folder's files alone, so it
inherits nothing from this process (a GPU that is in use here is no hindrance there).
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from experiments.interruption import InterruptedRunError
from experiments.rundir import RunFolder

ROOT = Path(__file__).resolve().parent.parent

READY = b"ready\n"
"""What a rank says when it has built its job."""

RANK = "LOCAL_RANK"
"""Where Lightning, torchrun and our data look for a process's rank."""

PATIENCE_S = 60.0
"""How long a rank may take to end when the training has."""


@contextlib.contextmanager
def other_ranks(folder: RunFolder, devices: int) -> Iterator[None]:
    """While the block runs, ranks 1 to `devices` - 1 train the run too, and this process is rank 0.

    RuntimeError naming the log of a rank that failed; no rank outlives the block.
    """
    if devices == 1:
        yield
        return
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(devices)}
    logs = {rank: folder.path / f"rank{rank}.log" for rank in range(1, devices)}
    processes = {rank: _start(folder, {**shared, RANK: str(rank)}, log) for rank, log in logs.items()}
    try:
        _await_ready(processes)
        with _environment({**shared, RANK: "0"}):
            yield
        for process in processes.values():
            process.wait(PATIENCE_S)
    except InterruptedRunError:
        raise
    except Exception as error:
        if failed := _failed(processes):
            raise RuntimeError(f"{error}; rank {failed[0]} of {devices} failed too: see {logs[failed[0]]}") from error
        raise
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()
    if failed := _failed(processes):
        raise RuntimeError(f"rank {failed[0]} of {devices} failed: see {logs[failed[0]]}")
    for log in logs.values():
        log.unlink(missing_ok=True)


def _failed(processes: Mapping[int, subprocess.Popen[bytes]]) -> list[int]:
    return [rank for rank, process in processes.items() if process.poll()]


def _start(folder: RunFolder, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A session of its own: Ctrl-C reaches rank 0 alone, which tells the others at the next batch."""
    command = [sys.executable, "-m", "experiments.ranks", str(folder.path.resolve())]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    own = {**os.environ, **environment, "PYTHONPATH": path}
    with log.open("wb") as file:
        return subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=file, start_new_session=True)


def _await_ready(processes: Mapping[int, subprocess.Popen[bytes]]) -> None:
    """Wait until every rank has its job: one that fails before would be waited for in vain by the group."""
    for rank, process in processes.items():
        assert process.stdout is not None
        if process.stdout.readline() != READY:
            process.wait(PATIENCE_S)
            raise RuntimeError(f"rank {rank} did not begin")


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set these variables, and leave the process group that was made under them."""
    earlier = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        _leave_group()
        for name, value in earlier.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _leave_group() -> None:
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main(path: str) -> None:
    """Train as the rank that the environment names; stdout says once that the job is built."""
    from experiments.readback import read_run
    from experiments.stages import Networks, job
    from experiments.training import train_beside

    folder = RunFolder(Path(path))
    run = read_run(folder)
    task = job(run, Networks(folder.path.parent))
    os.write(sys.stdout.fileno(), READY)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(InterruptedRunError):  # rank 0 says so, and saves what is to be saved
        train_beside(task, folder, run.config.trainer)


if __name__ == "__main__":
    main(sys.argv[1])
