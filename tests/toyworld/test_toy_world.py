"""The written world: layout, files, determinism, resuming. One tiny world is made once and shared."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from multiprocessing import active_children
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.io import loadmat

import toyworld.world as world_module
from conventions.emotions import EMOTIONS, STYLES
from conventions.errors import UserError
from datamodules.audio import read_audio
from datamodules.splits import Split
from datamodules.video import read_video
from toyworld.emotions import UNSEEN_STYLES
from toyworld.jobs import ClipJob, PairsJob, PortraitJob, run_jobs, transform_params
from toyworld.pairs import PICTURES_EACH, PairSet
from toyworld.performance import perform
from toyworld.plan import PORTRAIT_NAMES, PRESETS, ROLES, Preset, actors_of, clips_of
from toyworld.world import write_world

pytest.importorskip("espeakng_loader")


class Sleep(PortraitJob):
    """A job that takes as many seconds as its seed."""

    def run(self, root: Path) -> None:
        time.sleep(self.seed)


SMALL = Preset(
    actors={"train": 1, "val": 0, "test": 1, "judge": 0},
    neutral_clips=1,
    all_levels=frozenset({"train"}),
    unseen_styles=("awed", "pained"),
    short_sentences=True,
    people={"prior": 2, "judge": 1, "critic": 1},
    portraits=1,
    video_size=64,
)


@pytest.fixture(autouse=True)
def small_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preset of a few clips: the first six of the tiny one."""
    monkeypatch.setitem(PRESETS, "tiny", SMALL)
    monkeypatch.setattr(world_module, "clips_of", lambda preset, seed: clips_of(preset, seed)[20:26])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small world, made in this process."""
    folder = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", SMALL)
        patch.setattr(world_module, "clips_of", lambda preset, seed: clips_of(preset, seed)[20:26])
        write_world(folder, preset="tiny", size=64, workers=1)
    return folder


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_layout_is_meads(root: Path) -> None:
    videos = sorted(root.rglob("*.mp4"))
    assert len(videos) == 6
    for video in videos:
        actor, kind, view, emotion, level, number = video.relative_to(root).parts
        assert (kind, view, number) == ("video", "front", "001.mp4")
        assert (root / actor / "audio" / emotion / level / "001.m4a").is_file()
        assert video.with_suffix(".mat").is_file()
    styles = json.loads((root / "styles.json").read_text())
    assert styles["happily_surprised"]["parts"] == ["happy", "surprised"]
    assert "SYNTHETIC" in (root / "README.txt").read_text()
    assert not [p for p in root.rglob(".*") if p.is_file()]


def test_streams_are_25_fps_h264_and_48_khz_stereo_aac_of_equal_length(root: Path) -> None:
    for video in root.rglob("*.mp4"):
        actor, _, _, *rest = video.relative_to(root).parts
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.average_rate, stream.width) == ("h264", 25, 64)
            frames = sum(1 for _ in container.decode(stream))
        with av.open(str((root / actor / "audio" / Path(*rest)).with_suffix(".m4a"))) as container:
            stream = container.streams.audio[0]
            assert (stream.codec_context.name, stream.rate, stream.channels) == ("aac", 48_000, 2)
            samples = sum(frame.samples for frame in container.decode(stream))
        assert abs(samples / 48_000 - frames / 25) < 0.04
        assert loadmat(video.with_suffix(".mat"))["coeff"].shape == (frames, 257)


def test_decoded_sound_lies_where_the_utterance_has_it(root: Path) -> None:
    """The encoder's priming is skipped on reading: mouth and sound stay in step on disk."""
    clip = clips_of("tiny", 0)[20]
    said = perform(clip.actor, np.zeros(257, np.float32), clip.text, clip.emotion, clip.level, 0, clip.number)
    truth, heard = said.utterance.mono_16k(), read_audio(root / clip.audio)
    length = min(len(truth), len(heard))
    lags = range(-400, 401, 8)
    match = [np.dot(truth[500 : length - 500], heard[500 + lag : length - 500 + lag]) for lag in lags]
    assert abs(lags[int(np.argmax(match))]) <= 16


def test_transform_maps_the_camera_frame_into_the_picture(root: Path) -> None:
    """`placement` places camera ndc in the image's ndc; `transform_params` does the same in pixels."""
    placement, size, ndc = np.array([[0.6, 0.05, -0.1]]), 160, np.array([0.3, -0.4])
    w0, h0, s, t0, t1 = transform_params(placement, size)[0]
    pixel = (0.6 * ndc + [0.05, -0.1] + 1) * size / 2
    in_224 = (pixel - [t0, h0 - t1]) * s + 112
    np.testing.assert_allclose(in_224, (ndc + 1) * 112, atol=1e-4)
    assert (w0, h0) == (size, size)


def test_frames_show_a_face_that_moves(root: Path) -> None:
    frames = read_video(next(iter(sorted(root.rglob("*.mp4")))))
    assert frames.shape[1:] == (64, 64, 3)
    assert frames.std() > 20
    assert np.abs(np.diff(frames.astype(float), axis=0)).mean() > 0.3


def test_pairs_by_role_have_disjoint_people(root: Path) -> None:
    prior = PairSet(root, "prior")
    assert prior.images.shape == (len(prior), 64, 64, 3)
    assert prior.coefficients.shape == (len(prior), 257)
    assert len(prior.captions) == len(prior.style) == len(prior.level) == len(prior)
    faces = [style for style in prior.style if style]
    assert len(faces) == 2 * PICTURES_EACH["prior"]
    assert len(prior) - len(faces) == 6
    assert set(PairSet(root, "critic").style) <= set(EMOTIONS)
    identities = {
        r: {row[:80].tobytes() for row in PairSet(root, r).coefficients if row.any()}
        for r in ("prior", "judge", "critic")
    }
    assert not identities["prior"] & identities["judge"]
    assert not identities["judge"] & identities["critic"]
    with pytest.raises(UserError, match="no captioned images"):
        PairSet(root / "nowhere")


def test_same_seed_same_bytes_with_two_workers(root: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "again", preset="tiny", size=64, workers=2)
    assert contents(tmp_path / "again") == contents(root)


def test_a_complete_world_is_left_alone_and_another_is_refused(root: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    calls = []
    manifest = write_world(root, preset="tiny", size=64, progress=lambda *a: calls.append(a))
    assert manifest["clips"] == 6
    assert not calls
    assert before == {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    with pytest.raises(UserError, match="another toy world"):
        write_world(root, seed=1, preset="tiny", size=64)


def test_foreign_folders_and_impossible_settings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        write_world(tmp_path, preset="tiny")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(UserError, match="size"):
        write_world(tmp_path / "x", size=63)


def test_an_interrupted_world_is_finished_with_the_same_bytes(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "half"

    def stop_at_three(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_world(folder, preset="tiny", size=64, workers=1, progress=stop_at_three)
    assert not (folder / "toy.json").exists()
    (folder / "M001" / ".001.mp4.partial.mp4").write_bytes(b"half")
    with pytest.raises(UserError, match="size 64, not 96"):
        write_world(folder, preset="tiny", size=96, workers=1)
    seen = []
    write_world(folder, preset="tiny", size=64, workers=1, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (3, 10)
    assert seen[-1] == (10, 10)
    assert contents(folder) == contents(root)


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("toyworld.jobs.write_m4a", full)
    with pytest.raises(UserError, match="No space left"):
        write_world(tmp_path / "full", preset="tiny", size=64, workers=1)
    assert not list((tmp_path / "full").rglob("*.mp4"))


def test_plan_covers_every_style_and_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for preset in ("default", "tiny"):
        roles = actors_of(preset)
        assert set(roles.values()) == set(ROLES)
        clips = clips_of(preset, 0)
        assert len({clip.video for clip in clips}) == len(clips)
        for actor, role in roles.items():
            mine = {(c.emotion, c.level) for c in clips if c.actor == actor}
            assert {e for e, _ in mine} >= set(EMOTIONS)
            assert (role == "test") == any(e in UNSEEN_STYLES for e, _ in mine)
            if role == "train" or preset == "default":
                assert {(s.emotion, s.level) for s in STYLES} <= mine
    everyone = [actor for actors in Split.load("toy").actors.values() for actor in actors]
    assert len(set(everyone)) == len(everyone) >= 10
    assert not set(everyone) & set(PORTRAIT_NAMES)


def test_jobs_know_when_they_are_done(root: Path) -> None:
    clip = clips_of("tiny", 0)[20]
    assert ClipJob(clip, 0, 64).is_done(root)
    assert PortraitJob(PORTRAIT_NAMES[0], 0).is_done(root)
    assert PairsJob("prior", 0, 2, 0).is_done(root)
    assert not ClipJob(clips_of("tiny", 0)[0], 0, 64).is_done(root)


@pytest.mark.slow
def test_a_killed_process_leaves_a_world_that_the_next_call_finishes(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from toyworld.world import write_world;"
        f"write_world(Path({str(tmp_path / 'w')!r}), preset='tiny', size=64)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob("*.mp4"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "w" / "toy.json").exists()
    subprocess.run([sys.executable, "-c", program], check=True)
    assert json.loads((tmp_path / "w" / "toy.json").read_text())["synthetic"]


def test_an_interruption_ends_the_workers_amid_their_jobs(tmp_path: Path) -> None:
    others = {child.pid for child in active_children()}
    jobs = run_jobs([Sleep("W101", seconds) for seconds in (0, 1000, 1000, 1000, 1000)], tmp_path, workers=2, batch=1)
    assert next(jobs) == 1
    workers = [worker.pid for worker in active_children() if worker.pid is not None and worker.pid not in others]
    assert workers
    assert isinstance(jobs, Generator)
    jobs.close()
    deadline = time.monotonic() + 60
    while any(map(exists, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(exists, workers))


def exists(pid: int) -> bool:
    """Whether there is such a process; `Process.is_alive` errs where the pool's own thread has waited for it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
