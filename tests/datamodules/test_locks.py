"""A lock that one process holds, with the system's locks and without."""

import errno
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from conventions.errors import UserError
from datamodules.locks import exclusive


def unsupported(*_: object) -> None:
    raise OSError(errno.ENOSYS, "Function not implemented")


@pytest.fixture(params=["flock", "none"])
def lock(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock file on a file system that has locks, and on one that has none."""
    if request.param == "none":
        monkeypatch.setattr("fcntl.flock", unsupported)
    return tmp_path / "lock"


def test_one_at_a_time_and_the_other_is_named_the_holder(lock: Path) -> None:
    for _ in range(2):
        with (
            exclusive(lock, "busy"),
            pytest.raises(UserError, match=rf"busy \(process {os.getpid()} on {platform.node()}"),
            exclusive(lock, "busy"),
        ):
            pytest.fail("two hold it")


def test_without_locks_that_of_an_ended_process_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", unsupported)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    held = tmp_path / "lock.held"
    held.write_text(json.dumps({"host": platform.node(), "pid": ended.pid}))
    with exclusive(tmp_path / "lock", "busy"):
        assert held.exists()
    assert not held.exists()
    held.write_text(json.dumps({"host": "elsewhere", "pid": ended.pid}))
    with pytest.raises(UserError, match=r"on elsewhere; remove .*lock\.held"), exclusive(tmp_path / "lock", "busy"):
        pytest.fail("it may be held by another machine")


def test_a_failing_disk_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", failing)
    with pytest.raises(OSError, match="Input/output error"), exclusive(tmp_path / "lock", "busy"):
        pytest.fail("the disk failed")
