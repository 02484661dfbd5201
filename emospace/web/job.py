"""What a visitor asks for, checked, and the video that is made of it; and examples that need no network."""

import hashlib
import re
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from conventions.errors import MissingPackage, RejectedClip, UserError
from conventions.rates import VIDEO_FPS
from datamodules.audio import write_audio
from datamodules.speech import speech_frames
from emospace.demo import write_astronaut
from emospace.talker import Talker, TalkReport, VideoSettings, render_path
from emospace.talking.emotion import looks_like_path, parse_schedule, parts_of
from emospace.talking.portrait import Frame
from emospace.talking.pose import NATURAL, STILL
from emospace.web.folder import Folder
from toyworld.prosody import Prosody
from toyworld.speech import FILE_RATE, speak, voice_of

WORDS, PICTURE, SOUND, MIXTURE, SCHEDULE = "Words", "Image", "Audio", "Mixture", "Schedule"
SOURCES = (WORDS, PICTURE, SOUND, MIXTURE, SCHEDULE)
"""How an emotion is given."""

OWN = "as uploaded"
SIZES = ("256", "512", "720", "1080", OWN)
"""Pixels of the video's longer side."""

LONGEST_TEXT = 400
"""Characters of an emotion in words."""


class Stopped(Exception):
    """The visitor left or stopped the video."""


class Wish(NamedTuple):
    """The values of the page's inputs, in this order, as the browser sends them."""

    portrait: Any
    speech: Any
    source: Any
    words: Any
    picture: Any
    sound: Any
    first: Any
    second: Any
    share: Any
    schedule: Any
    own_level: Any
    level: Any
    pose: Any
    crop: Any
    size: Any


class Made(NamedTuple):
    """A video, the driven 3D face beside it, and what it was made from."""

    film: Path
    render: Path
    report: TalkReport
    warnings: list[str]


@dataclass(frozen=True)
class Studio:
    """Makes videos with one talker, for visitors whose files lie in one folder."""

    talker: Talker
    folder: Folder
    longest: float
    """Seconds of speech that are accepted."""
    weights: Path | None = None
    examples: Mapping[str, Path] = field(default_factory=dict)
    """SHA-256 of a portrait whose landmarks are known, and the file beside which they lie."""
    busy: threading.Lock = field(default_factory=threading.Lock)
    """Held while a video is made: one at a time."""

    def make(self, session: str, wish: Wish, progress: Callable[[int, int], None]) -> Made:
        """The video that is wished for; UserError with one line where it cannot be made, Stopped where it was."""
        self.folder.begin(session)
        try:
            with self.busy:
                return self._make(session, wish, progress)
        except (UserError, RejectedClip) as error:
            raise UserError(self._without_folder(str(error))) from error

    def _make(self, session: str, wish: Wish, progress: Callable[[int, int], None]) -> Made:
        portrait = self._known(self.folder.given(session, wish.portrait, "portrait"))
        speech = self.folder.given(session, wish.speech, "speech")
        emotion, level = self._emotion(session, wish), self._level(wish)
        settings = VideoSettings(
            self._frame(wish), _one_of(wish.pose, (NATURAL, STILL), "head"), render=True, weights=self.weights
        )
        seconds = speech_frames(speech) / VIDEO_FPS
        if seconds > self.longest:
            raise UserError(f"speech: lasts {seconds:.0f} s; this page takes at most {self.longest:g} s")

        def count(done: int, total: int) -> None:
            if self.folder.stopped(session):
                raise Stopped("stopped")
            progress(done, total)

        film = self.folder.film(session)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always", UserWarning)
            [report] = self.talker.talk_all(
                [(portrait, film)], speech, emotion, level=level, settings=settings, strict=True, progress=count
            )
        assert isinstance(report, TalkReport)
        return Made(film, render_path(film), report, [self._without_folder(str(each.message)) for each in seen])

    def _known(self, portrait: Path) -> Path:
        """The file beside which this portrait's landmarks lie, where it is one of the examples."""
        return self.examples.get(hashlib.sha256(portrait.read_bytes()).hexdigest(), portrait)

    def _emotion(self, session: str, wish: Wish) -> str:
        source = _one_of(wish.source, SOURCES, "emotion")
        if source == PICTURE:
            return str(self.folder.given(session, wish.picture, "emotion"))
        if source == SOUND:
            return str(self.folder.given(session, wish.sound, "emotion"))
        if source == MIXTURE:
            share = _number(wish.share, 100.0, "mixture")
            return f"{100 - share:g}% {plain_words(wish.first)} + {share:g}% {plain_words(wish.second)}"
        return plain_words(wish.words if source == WORDS else wish.schedule)

    def _level(self, wish: Wish) -> float | None:
        return _number(wish.level, 3.0, "intensity") if wish.own_level is True else None

    def _frame(self, wish: Wish) -> Frame:
        size = _one_of(wish.size, SIZES, "size")
        return Frame(crop=wish.crop is True, size=None if size == OWN else int(size))

    def _without_folder(self, line: str) -> str:
        """A line in which files have the names that the visitor gave them."""
        return re.sub(re.escape(str(self.folder.path)) + r"/(?:[^/\s]+/)*", "", line)


def plain_words(text: Any) -> str:
    """An emotion in words, or a schedule of these, on one line.

    UserError where it is empty or long, and where a part would be read as the name of a file of this machine.
    """
    if not isinstance(text, str) or not text.strip():
        raise UserError("emotion: is empty; give words such as quietly happy")
    line = " ".join(text.split())
    if len(line) > LONGEST_TEXT:
        raise UserError(f"emotion: has {len(line)} characters; at most {LONGEST_TEXT} are read")
    for cue in parse_schedule(line):
        for part, _ in parts_of(cue.emotion):
            if looks_like_path(part):
                raise UserError(f"emotion: {part!r} looks like the name of a file; give words, or upload the file")
    return line


def _one_of(value: Any, valid: tuple[str, ...], what: str) -> str:
    if value not in valid:
        raise UserError(f"{what}: {value!r} is unknown; valid: {', '.join(valid)}")
    return value


def _number(value: Any, most: float, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise UserError(f"{what}: {value!r} is outside 0..{most:g}")
    return float(value)


SENTENCE = "Hello. This is a short sentence to try the page with."
VOICE = "W001"
"""Toy actor whose voice reads the sentence."""

EMOTIONS = ("very happy", "very sad", "very angry")
CHANGING = "0:calm 1.2:very happy 2.6:very surprised"


@dataclass(frozen=True)
class Examples:
    """A portrait, speech where the synthesiser (extra `toy`) is installed, and rows for the page."""

    portrait: Path
    speech: Path | None

    @property
    def known(self) -> Mapping[str, Path]:
        """SHA-256 of the portrait, and the file beside which its landmarks lie."""
        return {hashlib.sha256(self.portrait.read_bytes()).hexdigest(): self.portrait}

    @property
    def rows(self) -> list[list[str]]:
        """Speech (if any), source, words and schedule of each example."""
        speech = [str(self.speech)] if self.speech else []
        rows = [[*speech, WORDS, emotion, CHANGING] for emotion in EMOTIONS]
        return [*rows, [*speech, SCHEDULE, EMOTIONS[0], CHANGING]]


def write_examples(folder: Path) -> Examples:
    """Write the files of the examples into a new folder."""
    folder.mkdir(parents=True)
    portrait, speech = write_astronaut(folder), folder / "speech.wav"
    try:
        sound = speak(SENTENCE, voice_of(VOICE, 0), Prosody(), np.random.default_rng(0))
    except MissingPackage:
        return Examples(portrait, None)
    write_audio(speech, sound.waveform, FILE_RATE)
    return Examples(portrait, speech)
