"""Odd names, places and damaged files: the good clips are prepared, the others end with a reason, and in time.

`crashed` is such a reason: SciPy's reader of `.mat` files can be made to segfault.
"""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from odd_media import write_pictures, write_wav

from datamodules.catalogue import catalogue
from datamodules.prepare import prepare
from datamodules.records import REASONS
from datamodules.store import Store, describe
from datamodules.video import probe

Clip = Callable[..., None]


def prepared(raw: Path, store: Path):
    return prepare(raw, store, coefficients="mat", size=32, look=False)


def test_what_is_no_file_has_a_reason(tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "raw"
    clip(raw / "good")
    (raw / "dangling.mp4").symlink_to("nowhere.mp4")
    (raw / "loop.wav").symlink_to("loop.wav")
    (raw / "circle").symlink_to(raw, target_is_directory=True)
    os.mkfifo(raw / "pipe.mp4")
    (raw / "folder.mp4").mkdir()
    monkeypatch.chdir(raw)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket.mat")
    report = prepared(raw, tmp_path / "store")
    reasons = {item["path"]: item["detail"] for item in report.details}
    assert report.clips == 1
    assert reasons.keys() == {"dangling.mp4", "loop.wav", "pipe.mp4", "socket.mat"}
    assert "link to nothing" in reasons["dangling.mp4"]
    assert "FIFO" in reasons["pipe.mp4"]


def test_a_folder_that_cannot_be_read(tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    clip(tmp_path / "good")
    clip(tmp_path / "locked" / "hidden")
    real = os.listdir

    def refuse(folder):
        if str(folder).rstrip("/").endswith("locked"):
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "listdir", refuse)
    records, left_out, _ = catalogue(tmp_path)
    assert [record.id for record in records] == ["good"]
    assert [(item.path.name, item.reason) for item in left_out] == [("locked", "unreadable")]


NAMES = [b"caf\xe9", b"\xff\xfe", b"12:30", b"new\nline", b"a|b$c~d", b"-x", b"%03d", b" ", b"x" * 245, "日本".encode()]


def test_any_name_is_prepared(tmp_path: Path, clip: Clip) -> None:
    clip(tmp_path / "one")
    (tmp_path / "raw").mkdir()
    for name in NAMES:
        for suffix in (".mp4", ".mat", ".wav"):
            os.link(tmp_path / f"one{suffix}", tmp_path / "raw" / (os.fsdecode(name) + suffix))
    os.link(tmp_path / "one.wav", tmp_path / "raw" / os.fsdecode(b"orphan\xe9.wav"))
    report = prepared(tmp_path / "raw", tmp_path / "store")
    assert report.left_out == {"no_video": 1}
    assert {clip.id for clip in Store(tmp_path / "store").clips} == {os.fsdecode(name) for name in NAMES}
    assert prepared(tmp_path / "raw", tmp_path / "store").prepared == 0
    report.text().encode("ascii", "backslashreplace")
    json.dumps(describe(Store(tmp_path / "store")))
    Store(tmp_path / "store").verify()


def test_suffixes_that_nothing_reads_are_counted(tmp_path: Path, clip: Clip) -> None:
    clip(tmp_path / "raw" / "good")
    for name in ("a.txt", "b.TXT", "c.xyz", "README"):
        (tmp_path / "raw" / name).touch()
    report = prepared(tmp_path / "raw", tmp_path / "store")
    assert report.unhandled == {"": 1, ".txt": 2, ".xyz": 1}
    assert "not read: 1 without a suffix, 2 .txt, 1 .xyz" in report.text()


@pytest.mark.parametrize("suffix", [".mpg", ".wmv", ".ts", ".mkv", ".mov"])
def test_every_suffix_is_read(suffix: str, tmp_path: Path, clip: Clip) -> None:
    import av

    clip(tmp_path / "raw" / "good")
    codec = {".mpg": "mpeg2video", ".wmv": "wmv2"}.get(suffix, "libx264")
    with av.open(str(tmp_path / "raw" / f"good{suffix}"), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for grey in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 5 * grey, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (tmp_path / "raw" / "good.mp4").unlink()
    assert prepared(tmp_path / "raw", tmp_path / "store").clips == 1


def test_what_was_mended_stands_in_the_report(tmp_path: Path, clip: Clip) -> None:
    raw = tmp_path / "raw"
    for name in ("antiphase", "holes"):
        clip(raw / name)
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
    write_wav(raw / "antiphase.wav", np.stack([sound, -sound]))
    (raw / "holes.mp4").unlink()
    write_pictures(raw / "holes.mkv", [0.04 * number for number in range(26) if not 3 <= number < 9], size=64)
    assert probe(raw / "holes.mkv").frames == 20
    report = prepared(raw, tmp_path / "store")
    assert report.clips == 2, report.text()
    assert "cancel" in report.notes["antiphase"][0]
    assert report.notes["holes"][0].startswith("holes.mkv: frames are missing")
    assert "repaired: antiphase.wav: " in report.text()
    again = prepared(raw, tmp_path / "store")
    assert (again.prepared, again.notes) == (0, report.notes)
    clip(raw / "more")
    assert prepared(raw, tmp_path / "store").notes == report.notes


def test_a_finished_store_is_not_written(tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    clip(tmp_path / "raw" / "good")
    prepared(tmp_path / "raw", tmp_path / "store")
    monkeypatch.setattr("fcntl.flock", lambda *_: pytest.fail("a finished store needs no lock"))
    assert prepared(tmp_path / "raw", tmp_path / "store").prepared == 0


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
