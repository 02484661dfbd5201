import subprocess
import sys

import numpy as np
import pytest

from conventions.emotions import EMOTIONS
from toyworld import rng_of
from toyworld.emotions import voice_parts
from toyworld.plan import ClipSpec, clips_of
from toyworld.prosody import PROSODY, Prosody, prosody
from toyworld.speech import (
    FEMALE_VOICES,
    FILE_RATE,
    MALE_VOICES,
    Utterance,
    VoiceSettings,
    resampled,
    speak,
    synthesize,
    voice_of,
)

pytest.importorskip("espeakng_loader")

TEXT = "We found a map of the town."


def say(actor: str, emotion: str, level: int = 3, number: int = 0) -> Utterance:
    change = prosody((emotion,), level)
    return speak(TEXT, voice_of(actor, 0), change, rng_of(0, actor, emotion, number))


@pytest.mark.parametrize("voice", [*MALE_VOICES, *FEMALE_VOICES])
def test_an_utterance_does_not_depend_on_what_was_said_before(voice: str) -> None:
    settings = VoiceSettings(voice, rate=160, pitch=60)
    first = synthesize(TEXT, settings)
    for rate in (100, 200, 300):
        synthesize("Something else entirely, loud and fast!", VoiceSettings("en-us+whisper", rate, 90, 90, 180))
        again = synthesize(TEXT, settings)
        assert first.marks == again.marks
        np.testing.assert_array_equal(first.samples, again.samples)


def test_another_process_says_the_same() -> None:
    program = (
        "import hashlib; from toyworld.speech import *;"
        f"print(hashlib.sha256(synthesize({TEXT!r}, VoiceSettings()).samples.tobytes()).hexdigest())"
    )
    import hashlib

    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert there == hashlib.sha256(synthesize(TEXT, VoiceSettings()).samples.tobytes()).hexdigest()


def test_phonemes_tile_the_sentence_in_order() -> None:
    utterance = say("M001", "neutral", 1)
    starts = [p.start for p in utterance.phonemes]
    assert starts == sorted(starts)
    for left, right in zip(utterance.phonemes, utterance.phonemes[1:], strict=False):
        assert left.start < left.end <= right.start + 1e-9
    assert [p.symbol for p in utterance.phonemes[:4]] == ["w", "i:", "f", "aU"]
    assert [p.symbol for p in utterance.phonemes if p.stress == 2] == ["aU", "a", "aU"]


def test_sound_fills_whole_video_frames_at_both_rates() -> None:
    utterance = say("W002", "happy")
    assert len(utterance.waveform) == utterance.num_frames * FILE_RATE // 25
    assert len(utterance.mono_16k()) == utterance.num_frames * 640
    assert np.abs(utterance.waveform).max() < 1


def test_phoneme_times_lie_where_the_sound_is() -> None:
    utterance = say("M002", "neutral", 1)
    energy = (utterance.waveform.reshape(-1, FILE_RATE // 100) ** 2).mean(1)
    loud = np.flatnonzero(energy > 1e-3 * energy.max()) / 100
    assert loud[0] == pytest.approx(utterance.phonemes[0].start, abs=0.08)
    assert loud[-1] == pytest.approx(utterance.phonemes[-1].end, abs=0.08)


def test_emotion_moves_duration_and_loudness_as_the_literature_says() -> None:
    def figures(emotion: str) -> tuple[float, float]:
        said = [say("M003", emotion, 3, number) for number in range(4)]
        duration = np.mean([u.phonemes[-1].end - u.phonemes[0].start for u in said])
        return float(duration), float(np.mean([u.waveform.std() for u in said]))

    found = {emotion: figures(emotion) for emotion in ("neutral", "angry", "sad", "fear")}
    assert found["fear"][0] < found["neutral"][0] < found["sad"][0]
    assert found["sad"][1] < found["neutral"][1] < found["angry"][1]


def test_levels_scale_the_change() -> None:
    assert Prosody(rate=2.0, pitch=10.0).scaled(0.0) == Prosody()
    strengths = [prosody(("angry",), level).volume for level in (1, 2, 3)]
    assert strengths == sorted(strengths)
    assert strengths[2] == PROSODY["angry"].volume
    mixed = prosody(("happy", "surprised"), 3).pitch
    assert PROSODY["happy"].pitch < mixed < PROSODY["surprised"].pitch


def test_actors_have_their_own_voices() -> None:
    voices = {voice_of(name, 0) for name in ("M001", "M002", "W001", "W002")}
    assert len(voices) == 4
    assert voice_of("M001", 0).variant in MALE_VOICES
    assert voice_of("W001", 0).variant in FEMALE_VOICES
    assert voice_of("M001", 0) == voice_of("M001", 0) != voice_of("M001", 1)


def test_resampling_keeps_tones_and_lengths() -> None:
    time = np.arange(22_050) / 22_050
    tone = np.sin(2 * np.pi * 440 * time) * np.hanning(22_050)
    there = resampled(tone, 48_000)
    expected = np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000) * np.interp(
        np.arange(48_000) / 48_000, time, np.hanning(22_050)
    )
    np.testing.assert_allclose(there, expected, atol=1e-3)
    np.testing.assert_allclose(resampled(there, 22_050), tone, atol=1e-6)


@pytest.mark.slow
def test_a_linear_probe_hears_the_emotion_of_unseen_actors_but_not_always() -> None:
    """Mean and spread of log-mel and of pitch: 8 emotions on 7 unseen actors, above three times chance, below 0.9."""
    import librosa
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def features(clip: ClipSpec) -> np.ndarray:
        rng = rng_of(0, "clip", clip.actor, clip.emotion, clip.level, clip.number)
        said = speak(clip.text, voice_of(clip.actor, 0), prosody(voice_parts(clip.emotion), clip.level), rng)
        wave = said.mono_16k()
        power = librosa.feature.melspectrogram(y=wave, sr=16_000, n_fft=1024, hop_length=320, n_mels=40)
        mel = librosa.power_to_db(power + 1e-8)
        loud = mel.mean(0) > mel.mean(0).max() - 35
        pitch = np.log(librosa.yin(wave, fmin=60, fmax=450, sr=16_000, frame_length=1024, hop_length=320)[loud])
        return np.r_[mel[:, loud].mean(1), mel[:, loud].std(1), pitch.mean(), pitch.std()]

    unseen = {"M005", "W005", "M006", "W004", "W006", "M007", "M008"}
    clips = [clip for clip in clips_of("default", 0) if clip.emotion in EMOTIONS]
    rows, names = np.stack([features(clip) for clip in clips]), np.array([clip.emotion for clip in clips])
    test = np.array([clip.actor in unseen for clip in clips])
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1)).fit(rows[~test], names[~test])
    accuracy = float((probe.predict(rows[test]) == names[test]).mean())
    assert 3 / 8 < accuracy < 0.9
