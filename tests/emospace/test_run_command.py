"""`emospace run` where data or config cannot give what is asked for: one line before anything is written."""

from pathlib import Path

import pytest
from toy_store import write_store

from conventions.files import write_json
from emospace.cli import main
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
