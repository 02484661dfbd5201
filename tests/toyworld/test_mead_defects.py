"""MEAD's known defects, planted in a copy of a toy world: each ends as the right record or the right reason."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import toyworld.world as world_module
from conventions.rates import SAMPLE_RATE, VIDEO_FPS
from datamodules.audio import read_audio, write_audio
from datamodules.prepare import prepare
from datamodules.prepare_report import PrepareReport
from datamodules.store import Store, StoredClip
from datamodules.video import read_video
from toyworld.plan import clips_of
from toyworld.world import write_world

pytest.importorskip("espeakng_loader")

ANGRY = {level: f"video/front/angry/level_{level}" for level in (1, 2, 3)}


def trained(preset: str, seed: int) -> list:
    """One training actor's clips of three emotions at all levels, and its neutral one."""
    clips = clips_of(preset, seed)
    return [c for c in clips if c.actor == clips[0].actor and c.emotion in ("angry", "happy", "sad", "neutral")]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, PrepareReport, str]:
    """The store of a world with the defects in it, its report, and the actor."""
    root = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world_module, "clips_of", trained)
        patch.setattr(world_module, "ROLES", ())
        write_world(root, preset="tiny", size=64, workers=1)
    actor = trained("tiny", 0)[0].actor
    plant(root / actor)
    report = prepare(root, root / "store", coefficients="mat", size=32, max_bad_share=0.7)
    return Store(root / "store"), report, actor


def clip(actor: Path, emotion: str, level: int) -> tuple[Path, Path]:
    """Image and sound of an emotion at a level."""
    video, audio = f"video/front/{emotion}/level_{level}/001.mp4", f"audio/{emotion}/level_{level}/001.m4a"
    return actor / video, actor / audio


def move(path: Path, target: Path) -> None:
    """Move a clip's file, and the coefficients beside it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for file in path.parent.glob(f"{path.stem}.*"):
        file.rename(target.with_suffix(file.suffix))


def plant(actor: Path) -> None:
    """Gaps in numbers, missing sound, extra levels of path, folded folders, unequal lengths, a cut file, silence."""
    video, audio = clip(actor, "angry", 1)
    move(video, actor / "video/front/angry/level_1/058.mp4")
    move(audio, actor / "audio/angry/level_1/058.m4a")
    clip(actor, "angry", 2)[1].unlink()
    video, audio = clip(actor, "angry", 3)
    move(video, actor / "1/front/angry_level_3/001.mp4")
    move(audio, actor / "2/angry_level_3/001.m4a")
    video, audio = clip(actor, "happy", 1)
    move(video, actor / "video/front/front/happy/level_1/001.mp4")
    video, audio = clip(actor, "happy", 2)
    sound = read_audio(audio)
    write_audio(audio, sound[: len(sound) * 3 // 4])
    video, audio = clip(actor, "happy", 3)
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    _, audio = clip(actor, "sad", 1)
    write_audio(audio, np.zeros_like(read_audio(audio)))
    clip(actor, "sad", 2)[0].unlink()
    video, audio = clip(actor, "sad", 3)
    move(video, actor / "video/front/sad/level_3/077.mp4")
    shutil.move(audio, audio.with_name("077.m4a"))


def entry(store: Store, emotion: str, level: int) -> StoredClip:
    """The one clip of that emotion and level."""
    (found,) = [clip for clip in store.clips if (clip.emotion, clip.level) == (emotion, level)]
    return found


@pytest.mark.parametrize(
    ("emotion", "level", "number"),
    [("angry", 1, "058"), ("angry", 3, "001"), ("happy", 1, "001"), ("sad", 3, "077"), ("neutral", 1, "001")],
)
def test_odd_names_are_read(store, emotion: str, level: int, number: str) -> None:
    made, _, actor = store
    found = entry(made, emotion, level)
    assert found.id == f"{actor}_front_{emotion}_{level}_{number}"
    assert found.has_audio
    assert found.has_coefficients


def test_a_clip_without_its_sound_says_so(store) -> None:
    assert not entry(store[0], "angry", 2).has_audio


def test_unequal_lengths_are_trimmed_to_the_shorter(store) -> None:
    made, _, actor = store
    found, folder = entry(made, "happy", 2), made.path.parent / actor
    sound = len(read_audio(folder / "audio/happy/level_2/001.m4a")) / SAMPLE_RATE * VIDEO_FPS
    assert len(read_video(folder / "video/front/happy/level_2/001.mp4")) > sound + 2
    assert sound - 1 <= found.length <= sound + 2, "AAC adds up to a packet"
    assert np.abs(made.audio[found.rows][: found.length // 2]).max() > 1_000, "the sound that there is has not moved"


def test_what_cannot_be_used_has_its_reason(store) -> None:
    made, report, actor = store
    found = {(item["path"], item["reason"]) for item in report.details}
    video = f"{actor}/video/front"
    assert {reason for path, reason in found if path == f"{video}/happy/level_3/001.mp4"} <= {"truncated", "unreadable"}
    assert not entry(made, "sad", 1).has_audio, "silence makes a clip without sound"
    assert (f"{actor}/audio/sad/level_2/001.m4a", "no_video") in found
    assert report.left_out.get("no_video") == 1
    assert len(found) == 2
