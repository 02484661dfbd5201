"""Any terminal, any way to be stopped, any error: one line and a fixed exit code."""

import errno
import json
import os
import pwd
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import av
import pytest
import torch

from conventions.errors import MediaWarning, UserError
from conventions.weights import weight_folders
from emospace import ROOT, cli
from emospace.cli import main
from emospace.commands import status


def fails(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def run(options: object) -> int:
        raise error

    monkeypatch.setattr(status, "run", run)
    return main(["status"])


NUMBERS = [
    *(errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR),
    *(errno.EISDIR, errno.ELOOP, errno.ENOENT, errno.EMFILE, errno.EIO, errno.EXDEV, errno.EPERM, errno.ESTALE),
]


@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
def test_every_error_of_the_system_is_one_line(number, monkeypatch, capsys) -> None:
    assert fails(monkeypatch, OSError(number, os.strerror(number), "a/b\n.mp4")) == 1
    assert capsys.readouterr().err == f"emospace status: a/b\\n.mp4: {os.strerror(number)}\n"


@pytest.mark.parametrize(
    "error",
    [
        av.error.InvalidDataError(1094995529, "Invalid data found when processing input", "x.mp4"),
        av.error.FileNotFoundError(2, "No such file or directory", "x.mp4"),
        OSError("no number"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed\nmore"),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB\nmore"),
        RecursionError("maximum recursion depth exceeded"),
        ValueError("two\nlines"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        KeyError("x"),
        UserError("a\nb"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_other_error_is_one_line(error, monkeypatch, capsys) -> None:
    assert fails(monkeypatch, error) in (1, 2)
    told = capsys.readouterr().err
    assert told.startswith("emospace status: ")
    assert told.count("\n") == 1


def test_a_full_disk_inside_torch_save(tmp_path: Path, monkeypatch, capsys) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")

    def run(options: object) -> int:
        torch.save({"weights": torch.zeros(100_000)}, "/dev/full")
        return 0

    monkeypatch.setattr(status, "run", run)
    assert main(["status"]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "internal error" not in told


def test_an_unforeseen_error_can_be_seen(monkeypatch) -> None:
    monkeypatch.setenv(cli.TRACEBACK, "1")
    with pytest.raises(ZeroDivisionError):
        fails(monkeypatch, ZeroDivisionError())


def test_what_was_mended_is_one_line_on_stderr(monkeypatch, capsys) -> None:
    def run(options: object) -> int:
        warnings.warn("a\n.wav: the audio has gaps", MediaWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(status, "run", run)
    assert main(["status"]) == 0
    assert capsys.readouterr().err == "emospace status: warning: a\\n.wav: the audio has gaps\n"


SHOW = """
import sys
from emospace import cli
from emospace.commands import status
from emospace.commands.output import print_json
def run(options):
    print("± † ‡ ↑ é 日", "caf\\udce9")
    print("± é", file=sys.stderr)
    print_json({"é": "± \\udce9"})
    return 0
status.run = run
sys.exit(cli.main(["status"]))
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "ascii:strict", "cp1252"])
def test_terminals_of_any_encoding(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    first, _, document = done.stdout.decode(encoding.partition(":")[0]).partition("\n")
    if encoding.startswith("ascii"):
        assert first.startswith("+- + ++ ^ \\xe9")
    assert json.loads(document) == {"é": "± \udce9"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_no_partial_file(number: signal.Signals, tmp_path: Path) -> None:
    code = f"""
import signal, sys, time
from pathlib import Path
from conventions.files import atomic_file
from emospace import cli
from emospace.commands import status
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with SIGINT ignored
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
def run(options):
    with atomic_file(Path({str(tmp_path / "out")!r})) as file:
        file.write(b"half")
        print("up", flush=True)
        time.sleep(60)
status.run = run
sys.exit(cli.main(["status"]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 75
    assert told == "emospace status: interrupted; the same command resumes\n"
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_is_ignored_stays_so(monkeypatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr(status, "run", lambda options: os.kill(os.getpid(), signal.SIGHUP) or time.sleep(0.1) or 0)
        assert main(["status"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_user_without_a_home(monkeypatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: {}[uid])
    monkeypatch.setenv("EMOSPACE_WEIGHTS", "/somewhere")
    assert weight_folders() == [Path("/somewhere")]
