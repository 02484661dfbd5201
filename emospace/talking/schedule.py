"""An emotion that changes while the face talks: `0:calm 3.2:very happy 6:sad`."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from conventions.errors import UserError
from conventions.rates import VIDEO_FPS
from emospace.talking.emotion import emotion_code, modality_of, parts_of, unknown_words
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder

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
