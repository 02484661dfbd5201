import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.rundir import RunFolder, RunLockedError, list_runs, read_history, truncate_history

ID = "toy-eac.full.s0.1f2e3d4c"
HASH = "1f2e3d4c" + "0" * 56


def finished(runs: Path, name: str = ID) -> RunFolder:
    folder = RunFolder(runs / name)
    folder.write("metrics.json", {"hash": HASH, "required": ["EFD"], "metrics": {"EFD": 0.1}})
    folder.set_status("done", hash=HASH, step=5, total=5)
    return folder


def test_done_is_verified(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    assert folder.state() == "done"
    metrics = folder.read("metrics.json")
    for damaged in ({"hash": "f" * 64}, {"required": ["EFD", "LMD"]}, {"metrics": None}):
        folder.write("metrics.json", {**metrics, **damaged})
        assert folder.state() == "damaged"
    (folder.path / "metrics.json").write_text('{"hash"')
    assert folder.inspect().flaw == "metrics.json is absent or cut"
    (folder.path / "metrics.json").write_text(json.dumps({**metrics, "metrics": {"EFD": float("nan")}}))
    assert folder.inspect().flaw == "EFD is not finite"


def test_a_copied_folder_is_not_done_under_another_id(tmp_path: Path) -> None:
    assert finished(tmp_path, "toy-eac.full.s0.ffffffff").state() == "damaged"


def test_status_keeps_what_is_not_named_and_forgets_an_old_reason(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / ID)
    folder.set_status("failed", hash=HASH, reason="out of memory")
    folder.set_status("running", pid=1)
    assert folder.status["hash"] == HASH
    assert folder.status["reason"] is None


def test_lock_refuses_a_second_holder_and_frees_itself(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / ID)
    with folder.lock():
        folder.set_status("running", pid=os.getpid())
        assert folder.locked
        assert folder.state() == "running"
        with pytest.raises(RunLockedError, match=str(os.getpid())), folder.lock():
            pass
        with pytest.raises(RunLockedError, match="archive"):
            folder.archive()
    assert not folder.locked
    assert folder.state() == "interrupted"


def test_a_killed_holder_leaves_an_interrupted_run(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from experiments.rundir import RunFolder\n"
        "folder = RunFolder(Path(sys.argv[1]))\n"
        "with folder.lock():\n"
        "    folder.set_status('running', pid=0, step=1, total=4); print('held', flush=True); time.sleep(60)\n"
    )
    folder = RunFolder(tmp_path / ID)
    process = subprocess.Popen([sys.executable, "-c", code, str(folder.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert folder.state() == "running"
    process.send_signal(signal.SIGKILL)
    process.wait()
    [run] = list_runs(tmp_path)
    assert (run.state, run.progress) == ("interrupted", 0.25)
    assert "ended without writing its status" in (run.reason or "")


def test_archive_moves_the_folder_aside(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / ID).archive() is None
    places = [finished(tmp_path).archive() for _ in range(2)]
    assert all(place is not None and (place / "metrics.json").exists() for place in places)
    assert places[0] != places[1]
    assert list_runs(tmp_path) == []


def test_history_loses_a_cut_line_and_what_lies_after_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    assert [row["step"] for row in read_history(path)] == [1, 2, 3]
    truncate_history(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_ten_thousand_folders_are_listed_quickly(tmp_path: Path) -> None:
    for index in range(300):
        finished(tmp_path, f"toy-eac.full.s{index}.1f2e3d4c")
    start = time.perf_counter()
    assert len(list_runs(tmp_path)) == 300
    assert time.perf_counter() - start < 0.3 * 10  # 10,000 in at most 10 s, with room for a busy machine


def test_files_are_as_open_to_others_as_the_user_wishes(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        place = finished(tmp_path).path / "metrics.json"
    finally:
        os.umask(before)
    assert place.stat().st_mode & 0o777 == 0o640


def test_a_lock_that_cannot_be_opened_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path / "eac.s0.1f2e3d4c")
    with folder.lock():
        folder.set_status("running")
    assert folder.state() == "interrupted"

    def refused(*arguments: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refused)
    assert folder.state() == "running"


WRONG = (None, 3, "x", [1], [[]], {"a": 1}, True, -1.5, {}, [])
GOOD = {"state": "running", "step": 3, "total": 9, "seconds": 1.5, "reason": None, "title": "eac full s0", "seed": 0}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_a_status_of_any_content_hides_no_other_run(tmp_path: Path, name: str, wrong: object) -> None:
    odd, sound = RunFolder(tmp_path / "eac.s0.1f2e3d4c"), RunFolder(tmp_path / "eac.s1.1f2e3d4c")
    odd.write("status.json", {**GOOD, name: wrong})
    sound.set_status("failed", reason="out of memory", step=4, total=8)
    first, second = list_runs(tmp_path)
    assert first.state in ("interrupted", "damaged")
    assert first.progress is None or isinstance(first.progress, float)
    assert (second.state, second.progress, second.reason) == ("failed", 0.5, "out of memory")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe{", b"[" * 100_000, '{"state": "done"}'.encode("utf-16")])
def test_a_status_that_cannot_be_read_is_damaged(tmp_path: Path, content: bytes) -> None:
    folder = RunFolder(tmp_path / "eac.s0.1f2e3d4c")
    folder.path.mkdir()
    (folder.path / "status.json").write_bytes(content)
    (run,) = list_runs(tmp_path)
    assert (run.state, run.reason) == ("damaged", "status.json cannot be read")


def test_lines_that_are_no_rows_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 2.0}\n[1]\n{"loss": 1}\n3\n\xff\n{"step": 2}\n{"st')
    assert [row["step"] for row in read_history(path)] == [1, 2]
