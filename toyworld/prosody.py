"""How an emotion sounds: rate, pitch, range, loudness, spectral tilt, tremor and breath by emotion and level.

Signs and rough sizes follow Murray & Arnott 1993 ("Toward the simulation of emotion in synthetic speech", table 1),
Banse & Scherer 1996 ("Acoustic profiles in vocal emotion expression") and Juslin & Laukka 2003; exact numbers are ours.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np

LEVEL_STRENGTH: Mapping[int, float] = {1: 0.4, 2: 0.7, 3: 1.0}
"""How much of an emotion's full pattern each level shows, in voice and face alike."""


@dataclass(frozen=True)
class Prosody:
    """Full-strength change against neutral speech.

    `rate` multiplies words a minute, `pitch` and `pitch_range` add espeak points (10 points are about 13 % in pitch),
    `volume` is in dB, `tilt` in dB per octave about 1 kHz, `tremor` the depth of a 7 Hz loudness tremor in 0..1,
    `breath` the level of breath noise against the voice in 0..1, `articulation` multiplies the mouth's movements.
    """

    rate: float = 1.0
    pitch: float = 0.0
    pitch_range: float = 0.0
    volume: float = 0.0
    tilt: float = 0.0
    tremor: float = 0.0
    breath: float = 0.0
    articulation: float = 1.0

    def scaled(self, strength: float) -> "Prosody":
        """The same change at `strength` of its full size (0 = neutral)."""
        neutral, full = np.array(astuple(Prosody())), np.array(astuple(self))
        return Prosody(*(neutral + strength * (full - neutral)).tolist())


PROSODY: Mapping[str, Prosody] = {
    "neutral": Prosody(),
    "angry": Prosody(1.12, 6.0, 24.0, 5.0, 2.0, articulation=1.25),
    "contempt": Prosody(0.84, -8.0, -12.0, -1.0, 0.6, breath=0.15, articulation=0.9),
    "disgusted": Prosody(0.78, -12.0, 8.0, 0.0, -0.8, tremor=0.1, articulation=1.0),
    "fear": Prosody(1.25, 22.0, -14.0, 1.0, 0.6, tremor=0.5, breath=0.08, articulation=0.95),
    "happy": Prosody(1.1, 15.0, 30.0, 3.0, 0.9, articulation=1.15),
    "sad": Prosody(0.78, -14.0, -28.0, -5.0, -2.0, tremor=0.12, breath=0.12, articulation=0.75),
    "surprised": Prosody(1.02, 28.0, 36.0, 2.0, 0.3, breath=0.03, articulation=1.2),
    "appalled": Prosody(0.88, 4.0, 14.0, 2.0, 0.2, breath=0.06, articulation=1.05),
    "hateful": Prosody(0.85, -10.0, 6.0, 2.0, 1.2, articulation=1.1),
    "awed": Prosody(0.85, 12.0, 18.0, -2.0, -0.8, breath=0.15, articulation=1.0),
    "pained": Prosody(0.8, 16.0, 6.0, 1.0, 0.8, tremor=0.4, breath=0.1, articulation=0.9),
    "interested": Prosody(1.06, 8.0, 18.0, 1.0, 0.3, articulation=1.1),
    "bored": Prosody(0.8, -10.0, -30.0, -3.0, -1.0, articulation=0.7),
    "confused": Prosody(0.85, 10.0, 12.0, -1.0, -0.3, articulation=0.9),
    "embarrassed": Prosody(1.08, 8.0, -8.0, -4.0, -0.8, tremor=0.15, breath=0.1, articulation=0.8),
    "proud": Prosody(0.92, -2.0, 16.0, 3.0, 0.6, articulation=1.15),
    "content": Prosody(0.88, 2.0, 0.0, -2.0, -0.9, breath=0.05, articulation=0.95),
    "sympathetic": Prosody(0.86, 4.0, 4.0, -3.0, -1.2, breath=0.1, articulation=0.9),
}


def prosody(parts: tuple[str, ...], level: int) -> Prosody:
    """The prosody of an emotion at a level (1..3); of a compound emotion, given by its parts, their mean."""
    mean = np.mean([astuple(PROSODY[part]) for part in parts], axis=0)
    return Prosody(*mean.tolist()).scaled(LEVEL_STRENGTH[level])
