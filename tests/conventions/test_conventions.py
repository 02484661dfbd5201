"""Files are whole or absent; things by name are found, also a user's own, and never stand in for one of ours."""

import contextlib
import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from conventions.errors import UserError
from conventions.files import atomic_file, regular_file, write_bytes, write_json, write_text
from conventions.registry import Registry


def test_a_file_appears_whole(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "deep" / "a.bin") as file:
        file.write(b"one")
        assert not (tmp_path / "deep" / "a.bin").exists()
    assert (tmp_path / "deep" / "a.bin").read_bytes() == b"one"


def test_a_failure_leaves_what_was(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"before")
    with contextlib.suppress(ZeroDivisionError), atomic_file(tmp_path / "a") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"before")]


def test_the_longest_name_fits(tmp_path: Path) -> None:
    write_bytes(tmp_path / ("n" * 255), b"x")
    write_bytes(tmp_path / ("é" * 127), b"x")
    with pytest.raises(OSError, match="too long"):
        write_bytes(tmp_path / ("n" * 256), b"x")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("made")
    write_bytes(tmp_path / "link", b"new")
    write_bytes(tmp_path / "dangling", b"made")
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "made").read_bytes() == b"made"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "dangling").is_symlink()


@pytest.mark.parametrize("kind", ["fifo", "folder", "loop", "device", "link to device"])
def test_what_is_no_file_is_never_replaced(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "place"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to("place")
    elif kind == "link to device":
        path.symlink_to("/dev/null")
    else:
        path = Path("/dev/null")
    before = os.lstat(path)
    with pytest.raises(UserError, match=str(path)) as error:
        write_bytes(path, b"x")
    assert "\n" not in str(error.value)
    assert os.lstat(path).st_ino == before.st_ino
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_two_writers_leave_one_whole_file(tmp_path: Path) -> None:
    path, barrier = tmp_path / "a", threading.Barrier(8)

    def write(number: int) -> None:
        barrier.wait()
        with atomic_file(path) as file:
            for _ in range(50):
                file.write(bytes([number]) * 1000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = path.read_bytes()
    assert len(content) == 50_000
    assert len(set(content)) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_shared_folder_stays_shared(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o664


def test_names_that_are_no_utf_8_are_kept_in_json(tmp_path: Path) -> None:
    import json

    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "a.json", {name: "é"})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {name: "é"}


@pytest.mark.parametrize("name", ["gone", "nul\0", "n" * 300, "file/below"])
def test_what_cannot_be_read_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as error:
        regular_file(tmp_path / name)
    assert "\n" not in str(error.value)


KINDS = Registry("kind", "kinds", {"ours": "conventions.rates:VIDEO_FPS"})


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", ".")])
    return tmp_path


def test_a_module_of_the_working_directory(working_directory: Path) -> None:
    (working_directory / "their_module.py").write_text("import their_helper\nthing = their_helper.value\n")
    (working_directory / "their_helper.py").write_text("value = 7\n")
    assert KINDS.load("their_module:thing") == 7
    assert sys.path[-1] == str(working_directory)


def test_ours_comes_first(working_directory: Path) -> None:
    (working_directory / "conventions.py").write_text("raise SystemExit")
    assert KINDS.load("conventions.rates:VIDEO_FPS") == KINDS.load("ours") == 25


@pytest.mark.parametrize(
    "name", ["nowhere_at_all:x", "conventions.rates:nothing", "conventions.nothing:x", "tuors", ":x", "x:", "broken:x"]
)
def test_what_is_not_there_is_one_line(name: str, working_directory: Path) -> None:
    (working_directory / "broken.py").write_text("a = (\n")
    with pytest.raises(UserError) as error:
        KINDS.load(name)
    assert "\n" not in str(error.value)
