"""Speech features by name: streams equal whole recordings, in bounded memory; a store takes a further feature."""

import json
import multiprocessing
import re
import signal
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoders import wav2vec, whisper
from toy_store import write_store

from conventions.errors import UserError
from conventions.rates import SAMPLES_PER_FRAME
from datamodules import speech_loading
from datamodules.audio import mfcc_windows, read_audio, write_audio
from datamodules.config import canonical
from datamodules.manifest import speech_hash, store_hash
from datamodules.mead import MEADDataModule
from datamodules.speech import pieces_of, speech_frames, speech_pieces
from datamodules.speech_features import SpeechFeature
from datamodules.speech_loading import load_feature
from datamodules.speech_store import add_speech
from datamodules.store import Store

OWN = '''
import numpy as np


class Loudness:
    """A feature of a class that uses nothing of this project."""

    name, shape, look_ahead, look_behind = "loudness", (2,), 0, 0

    def __call__(self, waveform, num_frames):
        padded = np.zeros(num_frames * 640, np.float32)
        padded[: len(waveform)] = waveform[: len(padded)]
        frames = padded.reshape(num_frames, 640)
        return np.stack([np.abs(frames).mean(1), np.square(frames).mean(1)], axis=1).astype(np.float32)


class Slow(Loudness):
    """Kills its process at the 100th frame that it computes, once."""

    def __call__(self, waveform, num_frames):
        import os, pathlib, signal
        count = pathlib.Path("frames")
        done = int(count.read_text()) if count.exists() else 0
        count.write_text(str(done + num_frames))
        if done < 100 <= done + num_frames:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(waveform, num_frames)


class Wrong(Loudness):
    """States another shape than it gives."""

    shape = (3,)


class Shapeless:
    """Keeps no contract."""
'''


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_speech.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_speech", raising=False)


def noise(frames: int) -> np.ndarray:
    return np.random.default_rng(frames).normal(0, 0.1, frames * 640 + 17).astype(np.float32)


@pytest.fixture(params=["mfcc", "mel", "own_speech:Loudness", "whisper", "wav2vec"])
def feature(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpeechFeature:
    """Each kind of feature; encoders look back 2 s, so that short sounds show what is forgotten."""
    for name in ("WHISPER_BEHIND", "BEHIND"):
        monkeypatch.setattr(speech_loading, name, 2 * speech_loading.BLOCK)
    makers = {"whisper": whisper, "wav2vec": wav2vec}
    name = request.param
    return load_feature(f"hf:{makers[name](tmp_path / name)}" if name in makers else name)


def test_a_stream_gives_the_features_of_the_whole(feature: SpeechFeature) -> None:
    waveform = noise(180)
    whole = feature(waveform, 180)
    assert whole.shape == (180, *feature.shape)
    assert whole.dtype == np.float32
    for frames in (1, 16):
        pieces = list(pieces_of(np.array_split(waveform, 50), frames, feature))
        assert {len(piece.speech) for piece in pieces[:-1]} == {frames}
        np.testing.assert_allclose(np.concatenate([piece.speech for piece in pieces]), whole, atol=1e-4)
        assert np.concatenate([piece.waveform for piece in pieces]).tolist() == waveform[: 180 * 640].tolist()
    np.testing.assert_allclose(feature.since(waveform, 170, 33), whole[33:170], atol=1e-4)


def test_no_frame_depends_on_sound_beyond_the_look_ahead(feature: SpeechFeature) -> None:
    waveform, frame = noise(120), 30
    later = waveform.copy()
    later[(frame + feature.look_ahead + 1) * 640 :] = 0.5
    changed = np.abs(feature(later, 120) - feature(waveform, 120)).reshape(120, -1).max(1) > 1e-4
    assert not changed[: frame + 1].any()
    assert changed[frame + 1 :].any()


@pytest.mark.parametrize("name", ["mfcc", "mel", "own_speech:Loudness"])
def test_features_follow_the_sound_in_time(name: str) -> None:
    """A click changes the features of its own frame most; in MFCC windows, those that hold it."""
    feature, waveform = load_feature(name), np.zeros(60 * 640, np.float32)
    clicked = waveform.copy()
    clicked[40 * 640 + 300 : 40 * 640 + 340] = 0.9
    change = np.square(feature(clicked, 60) - feature(waveform, 60)).reshape(60, -1).mean(1)
    assert abs(int(change.argmax()) - 40) <= (feature.look_ahead if name == "mfcc" else 0)


@pytest.mark.parametrize("make", [whisper, wav2vec])
def test_hidden_states_are_laid_on_the_frames_that_they_were_made_of(tmp_path: Path, make: Callable) -> None:
    encoder = load_feature(f"hf:{make(tmp_path / 'encoder')}")
    assert isinstance(encoder, speech_loading.Encoder)
    first, step = encoder._timing
    centres = first + step * torch.arange(200, dtype=torch.float32)
    laid = encoder._resampled(centres[:, None], first=25)[:, 0]
    middles = (25 + np.arange(len(laid)) + 0.5) * 640
    assert np.abs(laid - middles).max() <= step / 4


@pytest.mark.parametrize("name", ["own_speech:Loudness", "hf"])
def test_a_store_takes_a_further_feature_and_stays_the_same(tmp_path: Path, name: str) -> None:
    config = write_store(tmp_path)
    name = f"hf:{whisper(tmp_path / 'encoder')}:1" if name == "hf" else name
    path = Path(config.store)
    before = {file: file.read_bytes() for file in path.rglob("*.*") if file.name != "manifest.json"}
    digest = store_hash(path)
    store = add_speech(path, name)
    assert store.hash == store_hash(path) == digest
    assert {file: file.read_bytes() for file in before} == before
    store.verify()
    form, clip = store.speech_form(name), store.clips[3]
    waveform = np.asarray(store.audio[clip.rows], np.float32).reshape(-1) / 32767
    np.testing.assert_allclose(store.speech(name)[clip.rows], load_feature(name)(waveform, clip.length), atol=1e-5)
    assert len(speech_hash(path, name)) == 64
    data = MEADDataModule(replace(config, speech=name), "eac", 2)
    batch = data.batch_maker()(0)
    assert batch.speech.shape == (2, 8, *form.shape)  # pyright: ignore[reportAttributeAccessIssue]
    assert data.clip_item(clip).speech.shape == (clip.length, *form.shape)
    assert len(data.statistics().sound.mean) == form.shape[-1]
    assert data.speech_form == form
    stamp = (path / "manifest.json").read_bytes()
    add_speech(path, name)
    assert (path / "manifest.json").read_bytes() == stamp, "what is there is left alone"
    damaged = next(path.rglob(json.loads(stamp)["speech"][canonical(name)]["file"]))
    damaged.write_bytes(damaged.read_bytes()[:-4] + np.float32(7).tobytes())
    with pytest.raises(UserError, match=re.escape(f"damaged: {damaged.relative_to(path)}")):
        store.verify()


def _add(path: Path) -> None:
    add_speech(path, "own_speech:Slow")


def test_a_killed_addition_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = Path(write_store(tmp_path, frames=12).store)
    process = multiprocessing.get_context("fork").Process(target=_add, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with pytest.raises(UserError, match="for some clips only"):
        Store(path).speech("own_speech:Slow")
    store = add_speech(path, "own_speech:Slow")
    assert int((tmp_path / "frames").read_text()) < 2 * store.num_frames, "clips that were done are not done again"
    other = add_speech(path, "own_speech:Loudness")
    np.testing.assert_array_equal(store.speech("own_speech:Slow"), other.speech("own_speech:Loudness"))
    assert list(path.rglob("*.partial")) == []


def test_wrong_names_and_features_are_one_line(tmp_path: Path) -> None:
    path = Path(write_store(tmp_path).store)
    for name, line in (
        ("mfc", "speech feature 'mfc' is unknown; did you mean 'mfcc'"),
        ("own_speech:Nothing", "cannot be imported"),
        ("own_speech:Shapeless", "has no shape"),
        ("own_speech:Wrong", r"gives \[12, 2\] for 12 frames of .*, not \[12, 3\]"),
        ("hf:", "does not name an encoder"),
        ("hf:/nowhere/at/all", "is not the folder of an encoder"),
        (f"hf:{whisper(tmp_path / 'w')}:7", "has layers 0 to 2, not 7"),
    ):
        with pytest.raises(UserError, match=line):
            add_speech(path, name)
    with pytest.raises(UserError, match=r"has no speech feature 'hf:w', but mel, mfcc; `emospace store .* --add-spe"):
        speech_hash(path, f"hf:{tmp_path / 'w'}")


def test_other_weights_of_the_same_name_are_refused(tmp_path: Path) -> None:
    path = Path(write_store(tmp_path).store)
    add_speech(path, f"hf:{whisper(tmp_path / 'one' / 'encoder')}")
    with pytest.raises(UserError, match="has hf:encoder computed with other weights"):
        add_speech(path, f"hf:{whisper(tmp_path / 'two' / 'encoder', seed=1)}")


def test_names_do_not_depend_on_where_an_encoder_lies(tmp_path: Path) -> None:
    assert canonical("hf:/a/b/encoder:3") == canonical("hf:~/encoder:3") == "hf:encoder:3"
    assert canonical("hf:facebook/hubert-base-ls960") == "hf:facebook/hubert-base-ls960"
    assert canonical("mel") == "mel"


@pytest.mark.real
def test_the_real_whisper_streams(real_data: Path, real_weights: Path) -> None:
    from datamodules.audio import read_audio

    waveform = read_audio(real_data / "talking" / "speaker_1.wav")[: 75 * 640]
    feature = load_feature(f"hf:{real_weights / 'whisper-tiny.en-encoder'}")
    whole = feature(waveform, 75)
    pieces = [piece.speech for piece in pieces_of(np.array_split(waveform, 9), 1, feature)]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-4)


def noise_file(path: Path, samples: int) -> Path:
    wave = np.random.default_rng(samples).normal(0, 0.1, samples).cumsum()
    write_audio(path, (0.9 * wave / np.abs(wave).max()).astype(np.float32))
    return path


@pytest.mark.parametrize("frames", [1, 3, 16])
@pytest.mark.parametrize("samples", [639, 640, 5 * 640, 40 * 640 + 123, 41 * 640])
def test_pieces_joined_are_the_whole(tmp_path: Path, samples: int, frames: int) -> None:
    path = noise_file(tmp_path / "a.wav", samples)
    waveform, count = read_audio(path), samples // SAMPLES_PER_FRAME
    pieces = list(speech_pieces(path, frames))
    assert speech_frames(path) == count
    assert [len(piece.mfcc) for piece in pieces] == [frames] * (count // frames) + [count % frames] * (
        count % frames > 0
    )
    if count:
        whole = mfcc_windows(waveform, count)
        np.testing.assert_allclose(np.concatenate([p.mfcc for p in pieces]), whole, atol=1e-4)
        np.testing.assert_array_equal(np.concatenate([p.waveform for p in pieces]), waveform[: count * 640])


def test_memory_does_not_grow_with_the_speech(tmp_path: Path) -> None:
    peaks = []
    for seconds in (2, 60):
        path = noise_file(tmp_path / f"{seconds}.wav", seconds * 16_000)
        pieces = speech_pieces(path, 16)
        next(pieces)
        tracemalloc.start()
        for _ in pieces:
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 60 * 16_000 * 4, "less than the sound alone"
