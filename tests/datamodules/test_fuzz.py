"""Damaged files: whatever bytes are changed or missing, each clip ends as a record or with a reason, and in time.

`crashed` is such a reason: SciPy's reader of `.mat` files can be made to segfault.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datamodules.prepare import prepare
from datamodules.records import REASONS
from datamodules.store import Store

Clip = Callable[..., None]

FRAMES = 15
LIMIT_S = 60.0


def write_seeds(folder: Path, clip: Clip) -> list[list[Path]]:
    """Files of three clips of 0.6 s: audio inside the image's file, beside it as m4a, beside it as wav; .mat."""
    clip(folder / "inside", FRAMES, sound="inside", size=96)
    clip(folder / "m4a", FRAMES, sound=".m4a", size=96)
    clip(folder / "wav", FRAMES, sound=".wav", size=96)
    return [sorted(folder.glob(f"{name}.*")) for name in ("inside", "m4a", "wav")]


def damage(content: bytes, random: np.random.Generator) -> bytes:
    """Some bytes changed, anywhere or all within one kilobyte (so that headers are hit); or the end cut off."""
    if random.random() < 0.2:
        return content[: random.integers(len(content))]
    changed = bytearray(content)
    low = int(random.integers(len(content))) if random.random() < 0.5 else 0
    high = min(low + 1024, len(content)) if random.random() < 0.7 else len(content)
    for place in random.integers(low, high, size=random.integers(1, 16)):
        changed[place] = random.integers(256)
    return bytes(changed)


def write_damaged(raw: Path, seeds: list[list[Path]], count: int, spared: str) -> None:
    """`count` copies of the seeds in turn, one file of each damaged; and one copy of each that is not."""
    random = np.random.default_rng(count)
    raw.mkdir()
    for number in range(-len(seeds), count):
        files = seeds[number % len(seeds)]
        exposed = [file for file in files if file.suffix != spared]
        chosen = exposed[random.integers(len(exposed))] if number >= 0 else None
        for file in files:
            target = raw / f"{'sound' if number < 0 else 'damaged'}_{abs(number):04}{file.suffix}"
            if file == chosen:
                target.write_bytes(damage(file.read_bytes(), random))
            else:
                os.link(file, target)


def check_fuzzed(tmp_path: Path, clip: Clip, count: int, workers: int, spared: str = "") -> None:
    write_damaged(tmp_path / "raw", write_seeds(tmp_path / "seeds", clip), count, spared)
    report = prepare(
        tmp_path / "raw",
        tmp_path / "store",
        coefficients="mat",
        size=32,
        look=False,
        workers=workers,
        limit_s=LIMIT_S,
        max_bad_share=1.0,
    )
    kept = {clip.id for clip in Store(tmp_path / "store").clips}
    left_out = {Path(item["path"]).stem: item["reason"] for item in report.details}
    print(report.text())
    assert kept | left_out.keys() == {path.stem for path in (tmp_path / "raw").iterdir()}
    assert not kept & left_out.keys()
    assert {f"sound_{number:04}" for number in (1, 2, 3)} <= kept
    assert set(left_out.values()) <= REASONS.keys() - {"timed_out", "failed"}
    assert count // 5 < len(left_out), "the damage is felt"
    Store(tmp_path / "store").verify()


def test_a_few_damaged_files(tmp_path: Path, clip: Clip) -> None:
    """In this process, which is why the .mat files are spared."""
    check_fuzzed(tmp_path, clip, 20, workers=0, spared=".mat")


@pytest.mark.slow
def test_a_thousand_damaged_files(tmp_path: Path, clip: Clip) -> None:
    check_fuzzed(tmp_path, clip, 1000, workers=2)
