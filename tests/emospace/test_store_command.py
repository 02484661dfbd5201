"""`emospace store`: counts by label and by reason, from a store that was moved; a damaged byte is found on request."""

import json
from pathlib import Path

import pytest
import toy_store

from emospace.cli import main


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["store", *words])
    return code, *capsys.readouterr()


def test_counts_by_label_and_by_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reasons = {"M001_1.mp4": "empty_file", "M009_1.wav": "no_video"}
    left_out = [{"path": path, "reason": reason, "detail": ""} for path, reason in reasons.items()]
    toy_store.write_store(tmp_path / "first", unseen=["awed"], left_out=left_out)
    moved = (tmp_path / "first" / "store").rename(tmp_path / "moved")
    code, out, _ = run(capsys, str(moved), "--verify", "--json")
    counts = json.loads(out)
    assert code == 0
    assert counts["by_actor"] == {"M001": 4, "M002": 4, "W001": 4, "W002": 5}
    assert counts["by_emotion"] == {"awed": 1, "happy": 8, "neutral": 4, "sad": 4}
    assert counts["by_level"] == {"1": 8, "2": 5, "3": 4}
    assert counts["by_view"] == {"front": 17}
    assert counts["left_out"] == {"empty_file": 1, "no_video": 1}
    _, out, _ = run(capsys, str(moved))
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines["by_actor"] == "M001: 4, M002: 4, W001: 4, W002: 5"
    assert lines["left_out"] == "empty_file: 1, no_video: 1"
    assert len({len(line) - len(line.split(maxsplit=1)[1]) for line in out.splitlines()}) == 1, "one column of values"


def test_a_corrupted_byte_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Path(toy_store.write_store(tmp_path).store)
    code, out, _ = run(capsys, str(store), "--verify")
    assert code == 0
    assert "verified: " in out
    file = next(store.rglob("frames.bin"))
    content = bytearray(file.read_bytes())
    content[1234] ^= 255
    file.write_bytes(content)
    assert run(capsys, str(store))[0] == 0, "only --verify reads the pictures"
    code, out, error = run(capsys, str(store), "--verify")
    assert (code, out) == (2, "")
    assert f"damaged: {file.relative_to(store)}" in error
    assert len(error.splitlines()) == 1


def test_clips_are_selected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, out = toy_store.write_store(tmp_path).store, str(tmp_path / "out")
    code, text, _ = run(
        capsys, out, "--merge", store, "--only", "level=1", "--only", "level=2", "--only", "actor=M001,W002", "--json"
    )
    assert code == 0
    assert json.loads(text)["by_actor"] == {"M001": 3, "W002": 3}
    code, _, error = run(capsys, out, "--only", "level=1")
    assert code == 2
    assert "selects clips for --merge" in error
