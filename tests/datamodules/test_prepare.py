"""Preparation: the same bytes however it is run, nothing half-written, and a reason for every clip left out."""

import errno
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image
from toy_store import contents

from conventions.errors import UserError
from conventions.weights import LANDMARKER
from datamodules import clip_face, prepare_report
from datamodules import prepare as preparation
from datamodules.audio import write_audio
from datamodules.pool import Outcome
from datamodules.prepare import _make_part, prepare
from datamodules.store import Store
from datamodules.video_writer import write_video
from face3d.landmarker import Landmarker

Clip = Callable[..., None]


def prepared(raw: Path, store: Path, **options: object) -> prepare_report.PrepareReport:
    return prepare(raw, store, **{"coefficients": "mat", "size": 32, **options})  # type: ignore[arg-type]


def test_a_folder_of_clips_becomes_a_store(raw: Path, tmp_path: Path) -> None:
    calls: list[prepare_report.Done] = []
    report = prepared(raw, tmp_path / "store", progress=calls.append)
    assert (report.clips, report.frames, report.prepared, report.left_out) == (4, 80, 4, {})
    assert [(done.clips, done.total, done.frames) for done in calls] == [(1, 4, 20), (2, 4, 40), (3, 4, 60), (4, 4, 80)]
    assert calls[-1].as_dict()["seconds_left"] == 0
    assert calls[0].as_dict()["frames_per_second"] == pytest.approx(20 / calls[0].seconds)
    stages = [set(done.stage_seconds) for done in calls]
    assert stages == [{"audio", "decode", "crop", "features", "write"}] * 4
    assert set(report.stage_seconds) == stages[0] | {"pack"}
    assert sum(report.stage_seconds.values()) <= report.seconds + 0.1, "in one process no second counts twice"
    assert "cores busy" in report.text()
    store = Store(tmp_path / "store")
    assert store.coefficient_model == "bfm09"
    assert [(c.emotion, c.level, c.kind) for c in store.clips] == [
        ("happy", 3, "basic"),
        ("neutral", 1, "basic"),
        ("awed", 2, "compound"),
        ("happy", 1, "basic"),
    ]
    expected = scipy.io.loadmat(raw / "M001_front_neutral_level1_001.mat")["coeff"]
    np.testing.assert_array_equal(store.coefficients[store.clips[1].rows], expected)
    found = contents(tmp_path / "store")
    arrays = ("audio", "coefficients", "frame_ends", "landmarks", "mel", "mfcc", "placement")
    for shard in store.manifest["shards"]:
        held = {name.rpartition("/")[2] for name in found if name.startswith(f"shards/{shard}/")}
        assert held == {*(f"{name}.npy" for name in arrays), "frames.bin", "shard.json"}
    assert {name for name in found if "/" not in name} == {
        "manifest.json",
        store.manifest["index"],
        store.manifest["report"],
    }
    assert [name.partition("-")[0] for name in store.manifest["shards"]] == ["M001", "W002"]


def test_shares_of_the_work() -> None:
    assert prepare_report.shares({"decode": 3.0, "crop": 1.0}) == "decode 75 %, crop 25 %"
    assert prepare_report.shares({}) == ""


def test_the_bytes_do_not_depend_on_the_number_of_workers(raw: Path, tmp_path: Path) -> None:
    prepared(raw, tmp_path / "one", workers=0)
    prepared(raw, tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_finished_store_is_left_alone(raw: Path, tmp_path: Path) -> None:
    first = prepared(raw, tmp_path / "store")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()}
    again = prepared(raw, tmp_path / "store")
    assert again.prepared == 0
    assert again.hash == first.hash
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()}


def test_a_broken_run_is_finished_by_the_next(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop_at_two(done: prepare_report.Done) -> None:
        if done.clips == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(raw, tmp_path / "store", progress=stop_at_two)
    with pytest.raises(UserError, match="has not finished"):
        Store(tmp_path / "store")
    assert prepared(raw, tmp_path / "store").prepared == 2
    prepared(raw, tmp_path / "whole")
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")


def test_new_and_changed_clips_are_added(raw: Path, tmp_path: Path, clip: Clip) -> None:
    shutil.copytree(raw, tmp_path / "raw")
    prepared(tmp_path / "raw", tmp_path / "store")
    clip(tmp_path / "raw" / "M001_front_sad_level2_004", 24)
    clip(tmp_path / "raw" / "M001_front_happy_level3_001", 30)
    assert prepared(tmp_path / "raw", tmp_path / "store").prepared == 2
    prepared(tmp_path / "raw", tmp_path / "fresh")
    assert contents(tmp_path / "store") == contents(tmp_path / "fresh")


def test_picture_and_sound_are_trimmed_to_the_shorter(tmp_path: Path, clip: Clip) -> None:
    for name, seconds in (("short", 0.8), ("long", 3.0)):
        clip(tmp_path / "raw" / name, 30, sound=False)
        write_audio(tmp_path / "raw" / f"{name}.wav", np.sin(np.arange(round(seconds * 16000)) / 9).astype(np.float32))
    prepared(tmp_path / "raw", tmp_path / "store")
    assert {clip.id: clip.length for clip in Store(tmp_path / "store").clips} == {"short": 20, "long": 30}


def test_coefficients_of_30_fps_follow_the_frames_that_are_shown(tmp_path: Path, clip: Clip) -> None:
    clip(tmp_path / "raw" / "talk", 60, fps=30)
    prepared(tmp_path / "raw", tmp_path / "store")
    store = Store(tmp_path / "store")
    measured = scipy.io.loadmat(tmp_path / "raw" / "talk.mat")["coeff"]
    shown = [row for row in range(60) if row % 6 != 3]
    np.testing.assert_array_equal(store.coefficients[:], measured[shown])


def test_a_clip_without_sound_is_kept_and_says_so(tmp_path: Path, clip: Clip) -> None:
    clip(tmp_path / "raw" / "mute", sound=False)
    prepared(tmp_path / "raw", tmp_path / "store")
    store = Store(tmp_path / "store")
    assert not store.clips[0].has_audio
    assert not store.audio[:].any()


@pytest.fixture
def good_clips(tmp_path: Path, clip: Clip) -> Path:
    for number in range(5):
        clip(tmp_path / "raw" / f"good_{number}", 12)
    return tmp_path / "raw"


def spoil(raw: Path, clip: Clip) -> dict[str, str]:
    """Six spoilt clips; the reason of each."""
    names = ("half", "empty", "short", "mismatch", "no_mat", "bad_mat")
    for name in names:
        clip(raw / name, 5 if name == "short" else 40)
    content = (raw / "half.mp4").read_bytes()
    (raw / "half.mp4").write_bytes(content[: len(content) // 2])
    (raw / "empty.mp4").write_bytes(b"")
    (raw / "empty.wav").unlink()
    (raw / "mismatch.mat").write_bytes((raw / "good_0.mat").read_bytes())
    (raw / "no_mat.mat").unlink()
    (raw / "bad_mat.mat").write_bytes(b"no matlab file")
    return {
        "half.mp4": "truncated",
        "empty.mp4": "empty_file",
        "short.mp4": "too_short",
        "mismatch.mp4": "coefficients_mismatch",
        "no_mat.mp4": "no_coefficients",
        "bad_mat.mp4": "bad_coefficients",
    }


def test_every_clip_left_out_has_its_reason(good_clips: Path, tmp_path: Path, clip: Clip) -> None:
    expected = spoil(good_clips, clip)
    report = prepared(good_clips, tmp_path / "store", max_bad_share=0.7)
    assert report.clips == 5
    found = {item["path"]: item["reason"] for item in report.details}
    assert found.keys() == expected.keys()
    either = {"truncated", "unreadable", "empty_audio"}
    assert all(found[path] == reason or {found[path], reason} <= either for path, reason in expected.items()), found
    assert all("\n" not in item["detail"] and str(tmp_path) not in item["detail"] for item in report.details)
    assert str(report.clips) in report.text()
    with pytest.raises(UserError, match=r"6 of 11 clips cannot be used"):
        prepared(good_clips, tmp_path / "other")


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync
    calls = iter(range(100))

    def full(descriptor: int) -> None:
        if next(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="disk is full") as error:
            prepared(raw, tmp_path / "store")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "store").rglob("*.partial"))
    assert not (tmp_path / "store" / "manifest.json").exists()
    assert prepared(raw, tmp_path / "store").prepared == 2


def test_a_full_disk_while_packing(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("datamodules.packing.write_json", full)
        with pytest.raises(UserError, match="disk is full"):
            prepared(raw, tmp_path / "store")
    assert prepared(raw, tmp_path / "store").prepared == 0
    prepared(raw, tmp_path / "whole")
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")


def test_coefficients_of_two_models_do_not_mix(tmp_path: Path, clip: Clip) -> None:
    clip(tmp_path / "raw" / "one")
    clip(tmp_path / "raw" / "two")
    content = scipy.io.loadmat(tmp_path / "raw" / "two.mat")
    named = {"coeff": content["coeff"], "transform_params": content["transform_params"], "model": "flame"}
    scipy.io.savemat(tmp_path / "raw" / "two.mat", named)
    with pytest.raises(UserError, match=r"bfm09 \(one\), flame \(two\)"):
        prepared(tmp_path / "raw", tmp_path / "store")


def test_wrong_folders_are_one_clear_line(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    (tmp_path / "none").mkdir()
    for source, store, words in (
        (tmp_path / "nowhere", tmp_path / "s", "no such folder"),
        (raw, tmp_path / "mine", "neither empty nor a store"),
        (tmp_path / "none", tmp_path / "s", "contains no clip"),
        (raw, tmp_path / "mine" / "thesis.txt", "is a file"),
    ):
        with pytest.raises(UserError, match=words):
            prepared(source, store)


def test_missing_weights_say_where_to_get_them(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"face_landmarker\.task: not found in .* --fetch face_landmarker\.task` downloads it"
    ):
        prepare(raw, tmp_path / "store", coefficients="landmarks")
    with pytest.raises(UserError, match="not found"):
        LANDMARKER.find(tmp_path)
    assert not (tmp_path / "store").exists()


class FakeLandmarker(Landmarker):
    """Finds what the given function returns for the image's number."""

    def __init__(self, answer: Callable[[int], list[np.ndarray]]) -> None:
        self._answer, self._calls = answer, 0

    def detect(self, picture: np.ndarray) -> list[np.ndarray]:
        self._calls += 1
        return self._answer(self._calls - 1)


def face(number: int) -> np.ndarray:
    points = np.random.default_rng(0).uniform(0.2, 0.4, (68, 2)).astype(np.float32)
    return points + np.float32(0.01 * number)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda i: [], "no_face"),
        (lambda i: [face(i)] if i % 2 else [], "face_lost"),
        (lambda i: [face(i), face(i) * 0.6], "two_faces"),
    ],
)
def test_faces_that_cannot_be_followed(
    tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch, answer: Callable[[int], list[np.ndarray]], reason: str
) -> None:
    clip(tmp_path / "raw" / "talk", mat=False)
    (tmp_path / LANDMARKER.name).touch()
    monkeypatch.setattr(clip_face, "_landmarker", lambda weights: FakeLandmarker(answer))
    with pytest.raises(UserError, match=rf"1 of 1 clips cannot be used \({reason} 1\)"):
        prepare(tmp_path / "raw", tmp_path / "store", coefficients="none", size=32, weights=tmp_path)


def test_a_short_loss_of_the_face_is_bridged(tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    clip(tmp_path / "raw" / "talk", 20, mat=False)
    (tmp_path / LANDMARKER.name).touch()
    landmarker = FakeLandmarker(lambda i: [] if i == 7 else [face(i)])
    monkeypatch.setattr(clip_face, "_landmarker", lambda weights: landmarker)
    prepare(tmp_path / "raw", tmp_path / "store", coefficients="none", size=32, weights=tmp_path)
    store = Store(tmp_path / "store")
    assert store.clips[0].has_landmarks
    assert not store.clips[0].has_coefficients
    assert store.coefficient_model is None
    np.testing.assert_allclose(store.landmarks[7], (store.landmarks[6] + store.landmarks[8]) / 2, atol=1e-5)


def die_of(task: tuple) -> dict[str, float]:
    """Prepare a clip; one of that name segfaults the process, another never ends."""
    if task[0].id == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if task[0].id == "endless":
        time.sleep(600)
    return _make_part(task)


@pytest.mark.slow
def test_a_clip_that_kills_or_stalls_its_worker_is_left_out(
    good_clips: Path, tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip(good_clips / "segfault", 12)
    clip(good_clips / "endless", 12)
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "_make_part", die_of)
        report = prepared(good_clips, tmp_path / "store", workers=2, limit_s=4.0)
    assert (report.clips, report.left_out) == (5, {"crashed": 1, "timed_out": 1})


def test_the_death_of_a_worker_is_the_clips_reason(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_dies(function, tasks, workers, limit_s):
        yield Outcome(0, failure="crashed")
        yield from (Outcome(index, function(task)) for index, task in enumerate(tasks) if index)

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "run_tasks", one_dies)
        report = prepared(raw, tmp_path / "store", workers=2)
    assert report.left_out == {"crashed": 1}
    assert "--again" in report.text()
    assert prepared(raw, tmp_path / "store").prepared == 0
    again = prepared(raw, tmp_path / "store", again=True)
    assert (again.clips, again.prepared, again.left_out) == (4, 1, {})
    prepared(raw, tmp_path / "whole")
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")


def test_an_error_that_nobody_foresaw_is_the_clips_reason(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = preparation.prepare_clip

    def fail(record, settings, clock):
        if record.emotion == "awed":
            raise ZeroDivisionError("by nothing\nat all")
        return real(record, settings, clock)

    monkeypatch.setattr(preparation, "prepare_clip", fail)
    report = prepared(raw, tmp_path / "store")
    assert report.left_out == {"failed": 1}
    assert "ZeroDivisionError" in report.details[0]["detail"]
    assert "test_prepare.py:" in report.details[0]["detail"]
    assert capsys.readouterr().err == ""


def test_two_preparations_do_not_meet_in_one_store(raw: Path, tmp_path: Path) -> None:
    def second(done: prepare_report.Done) -> None:
        with pytest.raises(UserError, match="another preparation"):
            prepared(raw, tmp_path / "store")

    prepared(raw, tmp_path / "store", progress=second)


@pytest.mark.real
def test_real_clips_with_landmarks(real_data: Path, real_weights: Path, tmp_path: Path) -> None:
    report = prepare(real_data / "mead_sample", tmp_path / "store", coefficients="landmarks", weights=real_weights)
    assert report.left_out == {}
    store = Store(tmp_path / "store")
    keypoints = keypoints_of(store)
    eyes = np.linalg.norm(store.landmarks[:, 36] - store.landmarks[:, 45], axis=-1).mean()
    error = np.linalg.norm(keypoints - store.landmarks, axis=-1)[:, 17:].mean()
    assert error / eyes < 0.05, "what remains holds the constant difference between detector and model"


def keypoints_of(store: Store) -> np.ndarray:
    from datamodules.coefficients import project_keypoints

    assert store.coefficient_model is not None
    return project_keypoints(store.coefficient_model, np.array(store.coefficients), np.array(store.placement))


@pytest.mark.real
def test_a_picture_without_a_face(real_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    write_video(tmp_path / "raw" / "wall.mp4", np.full((12, 128, 128, 3), 90, np.uint8))
    with pytest.raises(UserError, match="no_face"):
        preparation.prepare(tmp_path / "raw", tmp_path / "store", coefficients="landmarks", weights=real_weights)


@pytest.mark.real
def test_two_people_side_by_side(real_weights: Path, real_data: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    portrait = (
        Image.open(real_data / "portraits" / "astronaut.png")
        .convert("RGB")
        .crop((120, 20, 340, 240))
        .resize((256, 256))
    )
    both = np.concatenate([np.asarray(portrait)] * 2, axis=1)
    write_video(tmp_path / "raw" / "duet.mp4", np.stack([both] * 12))
    with pytest.raises(UserError, match="two_faces 1"):
        prepare(tmp_path / "raw", tmp_path / "store", coefficients="none", size=32, weights=real_weights)
