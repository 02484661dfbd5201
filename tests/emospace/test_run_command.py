"""`emospace run` on a store that cannot give what is asked for."""

from pathlib import Path

import pytest
from toy_store import write_store

from emospace.cli import main


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
