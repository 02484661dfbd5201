"""One process at a time changes a store: a lock on a file, on any file system, whose error names the holder."""

import errno
import fcntl
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conventions.errors import UserError
from datamodules.manifest import MANIFEST
from datamodules.parts import PARTS
from datamodules.shards import SHARDS

_UNSUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
"""What `flock` reports where the file system has no locks (Lustre without `-o flock`, some NFS)."""


@contextmanager
def exclusive(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock file `path` in the block. UserError with the line `busy`, and who holds it, where another does.

    The system's lock (`flock`) ends with its process. Where the file system has none, a file that only one process can
    create stands for it (`path`.held); one of a process of this machine that has ended is taken over.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{busy} ({_holder(path)})") from error
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            with _created(path.with_name(f"{path.name}.held"), busy):
                yield
            return
        file.truncate(0)
        file.write(_me())
        file.flush()
        yield


@contextmanager
def _created(path: Path, busy: str) -> Iterator[None]:
    for last in (False, True):
        try:
            with path.open("x") as file:
                file.write(_me())
            break
        except FileExistsError:
            if last or not _ended(path):
                raise UserError(f"{busy} ({_holder(path)}; remove {path} if that process has ended)") from None
            path.unlink(missing_ok=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _me() -> str:
    return json.dumps({"host": platform.node(), "pid": os.getpid()})


def _read(path: Path) -> tuple[str, int]:
    try:
        content = json.loads(path.read_text())
        return str(content["host"]), int(content["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0


def _holder(path: Path) -> str:
    host, pid = _read(path)
    return f"process {pid} on {host}" if pid else "an unknown process"


def _ended(path: Path) -> bool:
    """Whether the holder is a process of this machine that is no more."""
    host, pid = _read(path)
    if host != platform.node() or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Keep a second process from changing the same store while this one does, and clear up after a killed one."""
    (store / PARTS).mkdir(exist_ok=True)
    busy = f"{store}: another preparation is at work on this store; wait for it to end"
    with exclusive(store / PARTS / "lock", busy):
        _clear(store)
        try:
            yield
        finally:
            _clear(store)
    if (store / MANIFEST).is_file():
        shutil.rmtree(store / PARTS, ignore_errors=True)


def _clear(store: Path) -> None:
    """Remove what killed writers left."""
    for folder in (store, store / PARTS, store / SHARDS):
        for leaving in folder.glob(".*.partial"):
            shutil.rmtree(leaving) if leaving.is_dir() else leaving.unlink(missing_ok=True)
