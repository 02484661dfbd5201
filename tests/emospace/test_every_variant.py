"""Every variant of the registry, run in one tiny world: parents are shared, and each one's numbers are its own."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablations.figures import FIGURES
from ablations.registry import VARIANTS
from datamodules.video import read_video
from emospace.cli import main
from experiments.rundir import RunFolder, list_runs

pytestmark = pytest.mark.slow

WORDS = [
    *("world.preset=tiny", "prior.clip.steps=2", "prior.gpt2.steps=2", "judges.steps=2", "judges.critics.steps=2"),
    *("losses.lip_sync.steps=2", "ame.steps=2", "eac.steps=2", "hef.steps=2", "evaluate.max_clips=2"),
    *("evaluate.samples=0", "tracking.mode=disabled", "data.split=split.yaml"),
]

WANTED = [variant for variant in VARIANTS if variant.id != "hef_projected"]
"""All but the one that the demo has already."""

SPLIT = "name: two test actors\ntrain: [M001, W001]\ntest: [M005, W004]\njudge: [W006, M007]\n"
"""Of the tiny world's actors, so that each style of a test clip has an image in another test clip."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which each variant was run once."""
    folder, before = tmp_path_factory.mktemp("variants"), Path.cwd()
    os.chdir(folder)
    (folder / "split.yaml").write_text(SPLIT)
    try:
        for variant in WANTED:
            assert main(["run", "demo", "--variant", variant.id, *WORDS]) == 0, variant.id
        yield folder
    finally:
        os.chdir(before)


def finished(home: Path) -> list[RunFolder]:
    """Every run, all of which are done."""
    runs = list_runs(home / "runs")
    assert {run.state for run in runs} == {"done"}
    return [RunFolder(home / "runs" / run.id) for run in runs]


def test_every_variant_changes_the_numbers_of_what_it_is_compared_with(home: Path) -> None:
    values = {}
    for folder in finished(home):
        if folder.status["stage"] == "evaluate":
            metrics = folder.read("metrics.json")["metrics"]
            values[folder.status["variant"]] = (metrics, (folder.path / "per_clip.csv").read_text())
    assert set(values) == {variant.id for variant in WANTED}
    assert all(values[one] != values[other] for one in values for other in values if one < other)


def test_shared_stages_are_trained_once(home: Path) -> None:
    """Stand-ins once, an AME for each encoding, an EAC and an HEF for each difference in them."""
    stages = Counter(folder.status["stage"] for folder in finished(home))
    once = dict.fromkeys(("clip", "gpt2", "critics", "judges", "lip_sync"), 1)
    expected = {**once, "ame": 4, "eac": 11, "hef": 13, "references": 2, "evaluate": len(WANTED)}
    assert stages == expected


def test_the_tables_are_whole_and_nothing_is_left_to_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    for name in ("1", "3", "unseen"):
        assert main(["table", name, "--preset", "demo", "--run", "--json", *WORDS]) == 0
        table = json.loads(capsys.readouterr().out)
        assert table["missing"] == []
        assert all(row["metrics"]["EFD"]["n"] == 1 for row in table["rows"] if row["variant"])
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()} == stamps


@pytest.mark.parametrize("number", FIGURES)
def test_every_figure_is_drawn(home: Path, number: str) -> None:
    assert main(["figure", number, "--preset", "demo", "--rows", "2", "--out", f"{number}.png", *WORDS]) == 0
    with Image.open(home / f"{number}.png") as picture:
        assert min(picture.size) > 300
        assert np.asarray(picture.convert("L")).std() > 10


@pytest.mark.parametrize("number", ["5", "7", "9", "10"])
def test_figures_of_speech_move(home: Path, number: str) -> None:
    assert main(["figure", number, "--preset", "demo", "--rows", "2", "--out", f"{number}.mp4", *WORDS]) == 0
    frames = read_video(home / f"{number}.mp4").astype(int)
    rows, columns = {"5": (2, 5), "7": (5, 5), "9": (2, 7), "10": (2, 8)}[number]
    assert frames.shape[1:] == (rows * 64, columns * 64, 3)
    assert np.abs(np.diff(frames, axis=0)).max() > 20
