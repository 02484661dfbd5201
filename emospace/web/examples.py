"""Examples that need no network: a photograph that scikit-image brings, and a synthetic sentence."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conventions.errors import MissingPackage
from datamodules.audio import write_audio
from emospace.demo import write_astronaut
from emospace.web.job import SCHEDULE, WORDS
from toyworld.prosody import Prosody
from toyworld.speech import FILE_RATE, speak, voice_of

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
