"""espeak-ng through ctypes: one sentence in, 22.05 kHz samples and timed phonemes out, the same bytes at every call.

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

import numpy as np
from jaxtyping import Int16

from conventions.errors import MissingPackage

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
