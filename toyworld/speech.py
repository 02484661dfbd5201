"""Speech of the toy world: a sentence said by an actor with an emotion, with the time of every phoneme.

espeak-ng speaks through ctypes: one sentence in, 22.05 kHz samples and timed phonemes out, the same bytes each time.
The library keeps state between calls (the phase of its pitch flutter, the last voice, its parameters) and is not
thread-safe. Each utterance therefore loads the library anew and unloads it afterwards (about 4 ms), under one lock.
Structures and constants are those of espeak-ng's `speak_lib.h` (1.52).
"""

import _ctypes
import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Float, Float32, Float64, Int16

from conventions.errors import MissingPackage
from conventions.rates import SAMPLE_RATE, VIDEO_FPS
from toyworld import rng_of
from toyworld.prosody import Prosody

ESPEAK_RATE = 22_050

_SYNCHRONOUS = 2
_PHONEME_EVENTS = 0x0001
_DO_NOT_EXIT = 0x8000
_UTF8 = 1
_END_PAUSE = 0x1000
_EVENT_PHONEME = 7
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_LOCK = threading.Lock()


class _Identifier(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class VoiceSettings:
    """Arguments of espeak: voice such as `en-us+m3`, words a minute (80..450), the rest 0..100 (volume 0..200)."""

    voice: str = "en-us"
    rate: int = 175
    pitch: int = 50
    pitch_range: int = 50
    volume: int = 100


@dataclass(frozen=True)
class RawSpeech:
    """Samples at `ESPEAK_RATE` and the first sample of each phoneme (espeak's mnemonics; `'` and `,` mark stress)."""

    samples: Int16[np.ndarray, " n"]
    marks: tuple[tuple[int, str], ...]


@contextmanager
def _fresh_library() -> Iterator[ctypes.CDLL]:
    """The library as it is just after loading: no state of an earlier utterance."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise MissingPackage("espeakng-loader", "toy", "the toy world's speech") from error
    with _LOCK:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        try:
            data = str(espeakng_loader.get_data_path()).encode()
            if library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _DO_NOT_EXIT) != ESPEAK_RATE:
                raise RuntimeError(f"espeak-ng did not start from {data.decode()}")
            yield library
            library.espeak_Terminate()
        finally:
            _ctypes.dlclose(library._handle)


def _configure(library: ctypes.CDLL, settings: VoiceSettings) -> None:
    if library.espeak_SetVoiceByName(settings.voice.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {settings.voice!r}")
    values = ((_RATE, settings.rate), (_VOLUME, settings.volume), (_PITCH, settings.pitch))
    for parameter, value in (*values, (_RANGE, settings.pitch_range)):
        library.espeak_SetParameter(parameter, int(value), 0)


def synthesize(text: str, settings: VoiceSettings) -> RawSpeech:
    """Speak `text`; the result depends on the arguments alone."""
    chunks: list[np.ndarray] = []
    marks: list[tuple[int, str]] = []

    def receive(samples, count, events) -> int:
        if count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != 0:
            event = events[index]
            if event.type == _EVENT_PHONEME:
                marks.append((event.sample, bytes(event.id.string).split(b"\0")[0].decode("ascii", "replace")))
            index += 1
        return 0

    callback = _CALLBACK(receive)
    with _fresh_library() as library:
        library.espeak_SetSynthCallback(callback)
        _configure(library, settings)
        encoded = text.encode()
        if library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8 | _END_PAUSE, None, None) != 0:
            raise RuntimeError("espeak-ng could not speak the text")
        library.espeak_Synchronize()
    samples = np.concatenate(chunks) if chunks else np.zeros(0, np.int16)
    return RawSpeech(samples, tuple(marks))


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
