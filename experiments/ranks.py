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
            process.wait()
    if failed := _failed(processes):
        raise RuntimeError(f"rank {failed[0]} of {devices} failed: see {logs[failed[0]]}")
    for log in logs.values():
        log.unlink(missing_ok=True)


def _failed(processes: Mapping[int, subprocess.Popen[bytes]]) -> list[int]:
    return [rank for rank, process in processes.items() if process.poll()]


def _start(folder: RunFolder, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A session of its own: Ctrl-C reaches rank 0 alone, which tells the others at the next batch."""
    command = [sys.executable, "-m", "experiments.ranks", str(folder.path.resolve())]
    with log.open("wb") as file:
        return subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=file, stderr=file, start_new_session=True
        )


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
    """Train as the rank that the environment names."""
    from experiments.readback import read_run
    from experiments.stages import Networks, job
    from experiments.training import train_beside

    folder = RunFolder(Path(path))
    run = read_run(folder)
    with contextlib.suppress(InterruptedRunError):  # rank 0 says so, and saves what is to be saved
        train_beside(job(run, Networks(folder.path.parent)), folder, run.config.trainer)


if __name__ == "__main__":
    main(sys.argv[1])
