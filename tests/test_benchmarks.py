"""Every benchmark and study imports: none uses what the code no longer has; the GPU benchmark runs in small sizes."""

import importlib
import json
import math
from pathlib import Path

import pytest

from benchmarks.gpu import PHASES, run

ROOT = Path(__file__).parent.parent
FILES = [path for folder in ("benchmarks", "studies") for path in (ROOT / folder).glob("*.py")]


@pytest.mark.parametrize("name", sorted(f"{path.parent.name}.{path.stem}" for path in FILES))
def test_it_imports(name: str) -> None:
    importlib.import_module(name)


def test_every_phase_ends_with_figures(tmp_path: Path) -> None:
    found = run(tmp_path, True, list(PHASES))
    assert json.loads((tmp_path / "gpu.json").read_text()) == json.loads(json.dumps(found))
    assert list(found) == ["machine", *PHASES]
    assert {name: value["error"] for name, value in found.items() if "error" in value} == {}
    rows = found["frames"]["rows"]
    assert [row["how"] for row in rows] == ["eager", "compiled"]
    assert all(row["frames_per_second"] > 0 for row in rows)
    steps = {name: value for name, value in found["steps"].items() if name != "seconds"}
    assert set(steps) == {"hef_512", "hef_256", "eac", "ame"}
    assert all(value["gflop"] > 0 and value["share_of_peak"] > 0 for value in steps.values())
    assert found["talk"]["frames_per_second"] > 0
    assert math.isfinite(found["train"]["loss_last"])
    assert {"before.png", "after.png", "talk.mp4"} <= {path.name for path in tmp_path.iterdir()}


def test_a_phase_that_fails_or_hangs_stops_no_other(tmp_path: Path, monkeypatch) -> None:
    import time

    from benchmarks import gpu

    def hang(setting):
        time.sleep(60)

    monkeypatch.setattr(gpu, "TINY_LIMITS", dict.fromkeys(PHASES, 0.2))
    monkeypatch.setattr(
        gpu, "PHASES", {"broken": lambda setting: 1 / 0, "hangs": hang, "peak": lambda setting: {"x": 1}}
    )
    monkeypatch.setattr(gpu, "TINY_LIMITS", {"broken": 1, "hangs": 0.2, "peak": 1})
    found = run(tmp_path, True, ["broken", "hangs", "peak"])
    assert "ZeroDivisionError" in found["broken"]["error"]
    assert "broken off" in found["hangs"]["error"]
    assert found["peak"]["x"] == 1
