"""Speech of the toy world: a sentence said by an actor with an emotion, with the time of every phoneme."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Float, Float32, Float64

from conventions.rates import SAMPLE_RATE, VIDEO_FPS
from toyworld import rng_of
from toyworld.espeak import ESPEAK_RATE, RawSpeech, VoiceSettings, synthesize
from toyworld.prosody import Prosody

FILE_RATE = 48_000
"""MEAD's own sample rate on disk."""

MALE_VOICES = ("en-us+m1", "en-us+m2", "en-us+m3", "en-us+m4", "en-us+m5", "en-us+m6", "en-us+m7", "en-us+m8", "en-us")
FEMALE_VOICES = ("en-us+f1", "en-us+f4", "en-us+Annie", "en-us+Andrea", "en-us+linda", "en-us+steph", "en-us+belinda")
"""No voice with espeak's own breath noise (f2, f3, f5, whisper): its samples differ from call to call."""


@dataclass(frozen=True)
class Phoneme:
    """One sound: espeak's mnemonic without stress marks, start and end in s, stress 0 none, 1 secondary, 2 primary."""

    symbol: str
    start: float
    end: float
    stress: int = 0


def resampled(samples: Float[np.ndarray, " n"], length: int) -> Float64[np.ndarray, " m"]:
    """The same stretch of sound in `length` samples: its spectrum cut or filled up. Needs quiet ends."""
    spectrum = np.fft.rfft(samples.astype(np.float64))
    return np.fft.irfft(spectrum[: length // 2 + 1], length) * (length / len(samples))


@dataclass(frozen=True)
class Utterance:
    """Speech padded to whole video frames: 48 kHz mono in [-1, 1], and its phonemes."""

    waveform: Float32[np.ndarray, " n"]
    phonemes: tuple[Phoneme, ...]

    @property
    def num_frames(self) -> int:
        """Video frames (25 a second) that the sound fills exactly."""
        return len(self.waveform) * VIDEO_FPS // FILE_RATE

    def mono_16k(self) -> Float32[np.ndarray, " m"]:
        """The waveform at 16 kHz, 640 samples a frame."""
        return resampled(self.waveform, len(self.waveform) * SAMPLE_RATE // FILE_RATE).astype(np.float32)


@dataclass(frozen=True)
class Voice:
    """An actor's own voice: espeak's variant, and the neutral rate (words a minute), pitch, range, tilt, loudness."""

    variant: str
    rate: float
    pitch: float
    pitch_range: float
    tilt: float
    gain: float


def voice_of(actor: str, seed: int) -> Voice:
    """The voice of an actor named like MEAD's: M### speaks with a male variant, W### with a female one."""
    rng = rng_of(seed, "voice", actor)
    variants = MALE_VOICES if actor.startswith("M") else FEMALE_VOICES
    variant = variants[int(rng.integers(len(variants)))]
    rate, pitch, pitch_range, tilt, gain = rng.normal([204, 45, 45, 0, -5], [9, 4, 5, 0.4, 0.8])
    return Voice(variant, float(rate), float(pitch), float(pitch_range), float(tilt), float(10 ** (gain / 20)))


def _settings(voice: Voice, change: Prosody, rng: np.random.Generator) -> VoiceSettings:
    rate, pitch, pitch_range = rng.normal([1, 0, 0], [0.04, 2.5, 4])
    return VoiceSettings(
        voice=voice.variant,
        rate=int(np.clip(voice.rate * change.rate * rate, 85, 320)),
        pitch=int(np.clip(voice.pitch + change.pitch + pitch, 2, 99)),
        pitch_range=int(np.clip(voice.pitch_range + change.pitch_range + pitch_range, 3, 99)),
    )


def _tilted(samples: np.ndarray, tilt: float) -> np.ndarray:
    """Change the spectrum by `tilt` dB per octave about 1 kHz, within 125 Hz .. 8 kHz, without delay."""
    spectrum = np.fft.rfft(samples.astype(np.float64))
    octaves = np.log2(np.clip(np.fft.rfftfreq(len(samples), 1 / ESPEAK_RATE), 125, 8000) / 1000)
    return np.fft.irfft(spectrum * 10 ** (tilt * octaves / 20), len(samples))


def _coloured(samples: np.ndarray, voice: Voice, change: Prosody, rng: np.random.Generator) -> np.ndarray:
    """Timbre and loudness: tilt, breath noise that follows the envelope, a 7 Hz tremor, gain."""
    time = np.arange(len(samples)) / ESPEAK_RATE
    window = np.hanning(ESPEAK_RATE // 50)
    envelope = np.sqrt(np.convolve(samples**2, window / window.sum(), mode="same"))
    breath = np.diff(rng.standard_normal(len(samples) + 1)) * envelope
    voiced = _tilted(samples, voice.tilt + change.tilt + rng.normal(0, 0.3)) + 0.5 * change.breath * breath
    tremor = 1 - change.tremor * (0.5 + 0.5 * np.sin(2 * np.pi * 7 * time + rng.uniform(0, 6.28)))
    return voiced * tremor * voice.gain * 10 ** ((change.volume + rng.normal(0, 0.8)) / 20)


def _phonemes(raw: RawSpeech, lead: float) -> tuple[Phoneme, ...]:
    starts = [sample / ESPEAK_RATE + lead for sample, _ in raw.marks]
    ends = [*starts[1:], len(raw.samples) / ESPEAK_RATE + lead]
    found = []
    for (_, mark), start, end in zip(raw.marks, starts, ends, strict=True):
        symbol = mark.lstrip("',%=_|-") or "_"
        if end > start and symbol != ":":
            found.append(Phoneme(symbol, start, end, stress=2 if "'" in mark else 1 if "," in mark else 0))
        elif end > start:
            found.append(Phoneme("_", start, end))
    return tuple(found)


def speak(text: str, voice: Voice, change: Prosody, rng: np.random.Generator) -> Utterance:
    """Say `text`; silence of 0.12-0.25 s before and 0.2-0.35 s after, filled up to a whole number of video frames."""
    lead, tail = rng.uniform([0.12, 0.2], [0.25, 0.35])
    raw = synthesize(text, _settings(voice, change, rng))
    speech_end = raw.marks[-2][0] if len(raw.marks) > 1 and raw.marks[-1][1].startswith("_") else len(raw.samples)
    samples = raw.samples[: max(speech_end, 1)].astype(np.float64) / 32768
    samples = _coloured(samples, voice, change, rng)
    frames = ceil((lead + len(samples) / ESPEAK_RATE + tail) * VIDEO_FPS)
    padded = np.zeros(frames * ESPEAK_RATE // VIDEO_FPS)
    first = round(lead * ESPEAK_RATE)
    padded[first : first + len(samples)] = samples
    wave = resampled(padded, frames * FILE_RATE // VIDEO_FPS)
    wave = np.clip(wave + rng.normal(0, 4e-4, len(wave)), -0.99, 0.99).astype(np.float32)
    clipped = RawSpeech(raw.samples[: max(speech_end, 1)], tuple(m for m in raw.marks if m[0] < speech_end))
    return Utterance(wave, _phonemes(clipped, first / ESPEAK_RATE))
