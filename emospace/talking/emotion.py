"""What the user gives as an emotion: a text, an image file, an audio file, a mixture of two, or a schedule of these."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from conventions.emotions import NUM_LEVELS
from conventions.errors import UserError
from conventions.files import regular_file
from conventions.rates import SAMPLES_PER_FRAME, VIDEO_FPS
from datamodules.audio import read_audio
from datamodules.pictures import read_picture
from datamodules.speech_loading import feature_of
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder, Modality

IMAGE_SUFFIXES = frozenset(
    "." + suffix
    for suffix in (
        *("png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "pbm", "tga"),
        *("jp2", "avif", "heic", "heif", "svg", "psd"),
    )
)
SOUND_SUFFIXES = frozenset(
    "." + suffix
    for suffix in (
        *("wav", "m4a", "mp3", "flac", "ogg", "oga", "opus", "aac", "wma", "aif", "aiff", "amr", "caf", "ac3", "mka"),
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "wmv", "mpg", "mpeg", "ts", "mts", "flv", "3gp", "ogv"),
    )
)
"""Suffixes of audio files, and of videos, of which the audio is used."""

_PATH = re.compile(r"^[~/]|^\.{1,2}/|^\S*[/\\]\S*$|^\S+\.[A-Za-z0-9]{1,4}$")
"""What looks like a path: rooted, one word with a slash, or one word with a short suffix."""

_MIXTURE = re.compile(r"(\d+(?:\.\d+)?)% +(.+?) +\+ +(\d+(?:\.\d+)?)% +(.+)")


def parts_of(emotion: str) -> list[tuple[str, float]]:
    """The two emotions of a mixture such as `70% happy + 30% sad` with their shares 0..1; any other emotion alone.

    UserError where the shares are not 100% together.
    """
    match = _MIXTURE.fullmatch(emotion.strip())
    if not match:
        return [(emotion, 1.0)]
    first, second = float(match[1]), float(match[3])
    if abs(first + second - 100) > 1e-6:
        raise UserError(f"emotion: {first:g}% and {second:g}% are {first + second:g}% together; expected 100%")
    return [(match[2], first / 100), (match[4], second / 100)]


def looks_like_path(emotion: str) -> bool:
    """Whether `modality_of` reads a file of that name, or reports that there is none."""
    suffix = Path(emotion.strip()).suffix.lower()
    return suffix in IMAGE_SUFFIXES | SOUND_SUFFIXES or _PATH.search(emotion.strip()) is not None


def modality_of(emotion: str) -> Modality:
    """Text, unless it looks like the path of a file, or has the suffix of an image, audio or video file.

    UserError when it is empty, and when it is a path without a readable file.
    """
    if not emotion.strip():
        raise UserError('emotion: is empty; give words such as "quietly happy", an image file or an audio file')
    if not looks_like_path(emotion):
        return "text"
    try:
        regular_file(Path(emotion))
    except UserError as error:
        raise UserError(f"emotion: {error}; an emotion in words has no slash and no file suffix") from error
    suffix = Path(emotion.strip()).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    if suffix in SOUND_SUFFIXES:
        return "audio"
    raise UserError(f"emotion: {emotion}: is neither an image file nor an audio file by its suffix")


def emotion_code(encoder: EmotionEncoder, emotion: str, level: float | None = None) -> EmotionCode:
    """The code [1, ...] of an emotion (text, image, audio or mixture); `level` in 0..3 moves its intensity."""
    if level is not None and not 0 <= level <= NUM_LEVELS:
        raise UserError(f"level: {level:g} is outside 0..{NUM_LEVELS}")
    parts = parts_of(emotion)
    with torch.no_grad():
        code, *others = (_single_code(encoder, part) for part, _ in parts)
        for other in others:
            code = encoder.mix(code, other, code.level.new_tensor([parts[1][1]]))
        return code if level is None else encoder.with_level(code, code.level.new_tensor([level]))


def _single_code(encoder: EmotionEncoder, emotion: str) -> EmotionCode:
    modality, device = modality_of(emotion), next(iter(encoder.parameters()), torch.zeros(0)).device
    if modality == "text":
        return encoder.encode_text([emotion.strip()])
    if modality == "image":
        pixels = torch.from_numpy(read_picture(Path(emotion))).permute(2, 0, 1).float() / 127.5 - 1
        return encoder.encode_image(pixels[None].to(device))
    voice = _voice(encoder, Path(emotion)).to(device)
    return encoder.encode_audio(voice, torch.ones(voice.shape[:2], dtype=torch.bool, device=device))


def _voice(encoder: EmotionEncoder, path: Path) -> Float[Tensor, "1 t d"]:
    """What the encoder reads of an audio file."""
    waveform = read_audio(path)
    if not (num_frames := len(waveform) // SAMPLES_PER_FRAME):
        raise UserError(f"emotion: {path}: is shorter than one video frame (40 ms)")
    rows = torch.from_numpy(feature_of(encoder.voice)(waveform, num_frames))
    return rows.reshape(1, -1, rows.shape[-1])


def unknown_words(encoder: EmotionEncoder, emotion: str) -> bool:
    """Whether the text encoder has a fixed vocabulary without any word of a text."""
    numbers = getattr(getattr(getattr(encoder, "text", None), "tokenize", None), "numbers", None)
    if numbers is None or modality_of(emotion) != "text":
        return False
    words = emotion.lower().replace(",", " ").replace(".", " ").split()
    return not any(word in numbers for word in words)


PASSAGE_SECONDS = 0.8
"""Time in which one emotion passes into the next, about the moment that the schedule names."""

STEP = 2
"""Frames that share one code within a passage."""

_TIME = re.compile(r"(?:^|(?<=\s))(\d+(?:\.\d+)?):(?=\S)")


@dataclass(frozen=True)
class Cue:
    """An emotion and the second from which on it holds."""

    second: float
    emotion: str


def parse_schedule(text: str) -> list[Cue]:
    """The cues of `SECONDS:EMOTION SECONDS:EMOTION ...`; any other text is one emotion from the start.

    UserError where the first cue is not at 0, or times do not rise.
    """
    marks = list(_TIME.finditer(text.strip()))
    if not marks or marks[0].start() != 0:
        return [Cue(0.0, text)]
    ends = [*(mark.start() for mark in marks[1:]), len(text.strip())]
    cues = [Cue(float(m[1]), text.strip()[m.end() : end].strip()) for m, end in zip(marks, ends, strict=True)]
    if cues[0].second != 0:
        raise UserError(f"emotion: the schedule begins at {cues[0].second:g} s; its first emotion is at 0")
    for before, after in itertools.pairwise(cues):
        if after.second <= before.second:
            raise UserError(f"emotion: {after.second:g}:{after.emotion} does not come after {before.second:g} s")
    return cues


class EmotionTrack:
    """The code of an encoder at each frame of a schedule, with smooth passages between emotions."""

    def __init__(self, encoder: EmotionEncoder, cues: Sequence[Cue], level: float | None = None) -> None:
        self._encoder = encoder
        self._seconds = [cue.second for cue in cues]
        self._codes = [emotion_code(encoder, cue.emotion, level) for cue in cues]
        self.levels = [float(code.level[0]) for code in self._codes]
        parts = [[part for part, _ in parts_of(cue.emotion)] for cue in cues]
        self.modalities = [" + ".join(map(modality_of, each)) for each in parts]
        self.unknown = [part for each in parts for part in each if unknown_words(encoder, part)]

    def at(self, frame: float) -> EmotionCode:
        """The code [1, ...] of a frame."""
        second = frame / VIDEO_FPS
        code = self._codes[0]
        for begin, following in zip(self._seconds[1:], self._codes[1:], strict=True):
            share = min(max((second - begin) / PASSAGE_SECONDS + 0.5, 0.0), 1.0)
            if share == 1:
                code = following
            elif share > 0:
                smooth = share * share * (3 - 2 * share)
                code = self._encoder.mix(code, following, code.level.new_tensor([smooth]))
        return code

    def spans(self, start: int, count: int) -> Iterator[tuple[int, EmotionCode]]:
        """Frames `start` .. `start + count` in runs that share one code: (length of the run, code)."""
        while count:
            length = min(self._run(start), count)
            yield length, self.at(_middle(start))
            start, count = start + length, count - length

    def frames(self, start: int, count: int) -> EmotionCode:
        """The codes [count, ...] of frames `start` .. `start + count`."""
        spans = list(self.spans(start, count))
        lengths = torch.tensor([length for length, _ in spans], device=spans[0][1].level.device)
        joined = (torch.cat([getattr(code, name) for _, code in spans]) for name in ("vector", "token", "level"))
        vector, token, level = (part.repeat_interleave(lengths, 0) for part in joined)
        return EmotionCode(vector, token, level)

    def _run(self, frame: int) -> int:
        """Frames from this one on that share its code."""
        for second in self._seconds[1:]:
            begin = (second - PASSAGE_SECONDS / 2) * VIDEO_FPS
            if _middle(frame) <= begin:
                steps = int((begin - _middle(0)) // STEP) + 1
                return steps * STEP - frame
            if _middle(frame) < (second + PASSAGE_SECONDS / 2) * VIDEO_FPS:
                return STEP - frame % STEP
        return 1 << 30


def _middle(frame: int) -> float:
    """Middle of the step in which a frame lies."""
    return frame // STEP * STEP + (STEP - 1) / 2
