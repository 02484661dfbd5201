"""The commands run (on a store that cannot give what is asked for), prepare (its progress), status and store."""

import json
from pathlib import Path

import pytest
import toy_store
from toy_store import write_store

from conventions.files import write_json
from datamodules.prepare_report import Done
from emospace.cli import main
from emospace.commands.prepare import _shown
from experiments.rundir import RunFolder
from toyworld.plan import VERSION


@pytest.mark.parametrize("networks", ["standin", "published"])
def test_a_plan_that_cannot_run_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], networks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_store(tmp_path / "data", size=32)
    words = [f"data.store={data.store}", f"data.split={data.split}", "world.fills_store=false"]
    before = set(tmp_path.rglob("*"))
    assert main(["run", "toy", "--networks", networks, "hef.resolution=64", *words]) == 2
    line = capsys.readouterr().err.strip()
    assert "\n" not in line
    assert {path for path in tmp_path.rglob("*") if path.is_file()} <= before, "no toy world, no run"


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("eac.backbone.kind=no_such_module:Recurrent", "backbone"),
        ("ame.text.encoding=no_such_module:Source", "emotion encoding"),
        ("hef.extra_losses=[no_such_module:loss=0.5]", "extra loss"),
    ],
)
def test_a_part_that_cannot_be_imported_is_reported_before_a_toy_world_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "toy", word]) == 2
    line = capsys.readouterr().err.strip()
    assert "\n" not in line
    assert kind in line
    assert "cannot be imported" in line
    assert not list(tmp_path.iterdir())


def test_a_toy_world_of_other_settings_is_reported_with_its_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "world" / "toy.json", {"format": VERSION, "seed": 1, "preset": "tiny", "size": 96})
    assert main(["run", "toy", "world.root=world"]) == 2
    assert "world.root: world: contains another toy world (seed 1, not 0; preset tiny, not " in capsys.readouterr().err


HALF = Done(clips=2, total=4, frames=200, seconds=8.0, stage_seconds={"fit": 3.0, "crop": 1.0})


def test_progress_for_a_program_is_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    _shown(as_json=True)(HALF)
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert (found["clips"], found["total"], found["seconds_left"]) == (2, 4, 8.0)
    assert (found["clips_per_second"], found["frames_per_second"]) == (0.25, 25.0)


def test_progress_for_a_reader_has_rates_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    _shown(as_json=False)(HALF)
    assert "0.25 clips/s, 25 frames/s, 8 s left; fit 75 %, crop 25 %" in capsys.readouterr().err


TITLE = "eac eac_mlp s0 eac.steps=20"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A run half way, one that failed, and one of the first identity."""
    labels = {"stage": "eac", "title": TITLE, "experiment": "toy", "sweep": "steps"}
    RunFolder(tmp_path / "eac.s0.aaaaaaaa").set_status("interrupted", step=5, total=20, seconds=7.4, **labels)
    RunFolder(tmp_path / "hef.s0.bbbbbbbb").set_status("failed", reason="no memory", stage="hef", title="hef full s0")
    old = RunFolder(tmp_path / "toy-eac.full.s0.cccccccc")
    old.write("metrics.json", {"hash": "cccccccc", "required": [], "metrics": {}})
    old.set_status("done", hash="cccccccc", stage="eac")
    return tmp_path


def test_one_line_a_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--runs", str(runs)]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.split() == ["interrupted", "25%", "7", "s", "eac.s0.aaaaaaaa", *TITLE.split()]
    assert second.endswith("hef full s0  (no memory)")
    assert third.split() == ["done", "100%", "toy-eac.full.s0.cccccccc"]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--stage", "eac"], ["eac.s0.aaaaaaaa", "toy-eac.full.s0.cccccccc"]),
        (["--state", "failed", "done"], ["hef.s0.bbbbbbbb", "toy-eac.full.s0.cccccccc"]),
        (["--stage", "hef", "--state", "done"], []),
    ],
)
def test_stages_and_states_select(
    runs: Path, words: list[str], ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--runs", str(runs), "--json", *words]) == 0
    assert [run["id"] for run in json.loads(capsys.readouterr().out)] == ids


def test_json_has_the_labels(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["status", "--runs", str(runs), "--json"])
    run = json.loads(capsys.readouterr().out)[0]
    assert (run["title"], run["sweep"], run["experiment"], run["progress"]) == (TITLE, "steps", "toy", 0.25)


def store_command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["store", *words])
    return code, *capsys.readouterr()


def test_counts_by_label_and_by_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reasons = {"M001_1.mp4": "empty_file", "M009_1.wav": "no_video"}
    left_out = [{"path": path, "reason": reason, "detail": ""} for path, reason in reasons.items()]
    toy_store.write_store(tmp_path / "first", unseen=["awed"], left_out=left_out)
    moved = (tmp_path / "first" / "store").rename(tmp_path / "moved")
    code, out, _ = store_command(capsys, str(moved), "--verify", "--json")
    counts = json.loads(out)
    assert code == 0
    assert counts["by_actor"] == {"M001": 4, "M002": 4, "W001": 4, "W002": 5}
    assert counts["by_emotion"] == {"awed": 1, "happy": 8, "neutral": 4, "sad": 4}
    assert counts["by_level"] == {"1": 8, "2": 5, "3": 4}
    assert counts["by_view"] == {"front": 17}
    assert counts["left_out"] == {"empty_file": 1, "no_video": 1}
    _, out, _ = store_command(capsys, str(moved))
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines["by_actor"] == "M001: 4, M002: 4, W001: 4, W002: 5"
    assert lines["left_out"] == "empty_file: 1, no_video: 1"
    assert len({len(line) - len(line.split(maxsplit=1)[1]) for line in out.splitlines()}) == 1, "one column of values"


def test_a_corrupted_byte_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Path(toy_store.write_store(tmp_path).store)
    code, out, _ = store_command(capsys, str(store), "--verify")
    assert code == 0
    assert "verified: " in out
    file = next(store.rglob("frames.bin"))
    content = bytearray(file.read_bytes())
    content[1234] ^= 255
    file.write_bytes(content)
    assert store_command(capsys, str(store))[0] == 0, "only --verify reads the pictures"
    code, out, error = store_command(capsys, str(store), "--verify")
    assert (code, out) == (2, "")
    assert f"damaged: {file.relative_to(store)}" in error
    assert len(error.splitlines()) == 1


def test_clips_are_selected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, out = toy_store.write_store(tmp_path).store, str(tmp_path / "out")
    code, text, _ = store_command(
        capsys, out, "--merge", store, "--only", "level=1", "--only", "level=2", "--only", "actor=M001,W002", "--json"
    )
    assert code == 0
    assert json.loads(text)["by_actor"] == {"M001": 3, "W002": 3}
    code, _, error = store_command(capsys, out, "--only", "level=1")
    assert code == 2
    assert "selects clips for --merge" in error
