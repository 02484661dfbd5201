"""The parsers of data sets that need only some lines each: one function for each, under the name of its naming."""

import re
from collections.abc import Mapping

from conventions.emotions import StyleKind
from datamodules.naming.mead import spelling
from datamodules.naming.name import Name

CREMA_D_SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
CREMA_D_EMOTIONS = {"ANG": "angry", "DIS": "disgusted", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
CREMA_D_LEVELS = {"LO": 1, "MD": 2, "HI": 3, "XX": 2}
"""`XX` (not specified: 11 of the 12 sentences) is read as the middle level."""

RAVDESS_EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fear",
    "07": "disgusted",
    "08": "surprised",
}
"""Calm has no counterpart in MEAD: without a label map its clips are left out as of an unknown name."""
RAVDESS_LEVELS = {"01": 2, "02": 3}
"""Normal and strong intensity, as MEAD's levels 2 and 3."""

PARTS = frozenset(("train", "training", "val", "valid", "validation", "dev", "test", "testing", "evaluation"))
"""Folders that part a collection."""
ALL = "all"
"""The actor of files in a collection without parts and people."""

_CREMA_D = re.compile(
    rf"(?:^|/)(\d{{4}})_({'|'.join(CREMA_D_SENTENCES)})_({'|'.join(CREMA_D_EMOTIONS)})_(LO|MD|HI|XX|X)$"
)
_RAVDESS = re.compile(r"(?:^|/)0[123]-01-(\d\d)-(0[12])-(0[12])-(0[12])-(\d\d)$")
_RAVDESS_ANY = re.compile(r"(?:^|/)0[123]-0[12](-\d\d){5}$")
_HDTF = re.compile(r"(?:^|/)((?:WDA|WRA)_([A-Za-z]+?)(\d*)|RD_(Radio\d+))_(\d{3})$")
_VOXCELEB2 = re.compile(r"(?:^|/)(id\d{5})[/#_](.+)$")
_CELEBV_HQ = re.compile(r"(?:^|/)(([\w-]{11})_\d+(?:_\d+)*)$")


def crema_d(path: str, styles: Mapping[str, StyleKind]) -> Name | None:
    """CREMA-D: `1001_IEO_ANG_HI.flv`: actor, sentence, emotion, intensity."""
    match = _CREMA_D.search(path)
    if match is None:
        return None
    emotion = CREMA_D_EMOTIONS[match[3]]
    level = 1 if emotion == "neutral" else CREMA_D_LEVELS.get(match[4], 2)
    return Name(match[1], emotion, "basic", level, "front", CREMA_D_SENTENCES.index(match[2]) + 1)


def ravdess(path: str, styles: Mapping[str, StyleKind]) -> Name | None:
    """RAVDESS speech: `02-01-06-01-02-01-12.mp4`: modality, channel, emotion, intensity, statement, repetition, actor.

    Songs (channel 02) give None.
    """
    match = _RAVDESS.search(path)
    if match is None or match[1] not in RAVDESS_EMOTIONS:
        return None
    emotion = RAVDESS_EMOTIONS[match[1]]
    level = 1 if emotion == "neutral" else RAVDESS_LEVELS[match[2]]
    number = 10 * int(match[3]) + int(match[4])
    return Name(f"actor_{match[5]}", emotion, "basic", level, "front", number)


def is_ravdess(path: str) -> bool:
    """Whether a path is RAVDESS's, songs included, which have an actor but no label here."""
    return _RAVDESS_ANY.search(path) is not None


def hdtf(path: str, styles: Mapping[str, StyleKind]) -> Name | None:
    """HDTF: `WDA_BarackObama_000.mp4`, `WDA_BarbaraLee1_002.mp4`, `RD_Radio10_000.mp4`: speaker and piece; no labels.

    Several videos of one speaker (`BarbaraLee0`, `BarbaraLee1`, of either list) have one actor; who speaks in which
    Radio video is not known, so that each is an actor of its own.
    """
    match = _HDTF.search(path)
    if match is None:
        return None
    return Name(match[2] or match[4], number=int(match[5]), clip=f"{match[1]}_{match[5]}")


def voxceleb2(path: str, styles: Mapping[str, StyleKind]) -> Name | None:
    """VoxCeleb2: `dev/mp4/id00012/21Uxsk56VDQ/00001.mp4`, audio in `aac/`; the first folder is the identity; no labels.

    Copies that fold the folders into the file's name (`id00012#21Uxsk56VDQ#00001.mp4`, or with `_`) are read too.
    """
    match = _VOXCELEB2.search(path)
    if match is None:
        return None
    return Name(match[1], clip=f"{match[1]}_{re.sub('[/#]', '_', match[2])}")


def celebv_hq(path: str, styles: Mapping[str, StyleKind]) -> Name | None:
    """CelebV-HQ: `M2Ohb0FAaJU_1.mp4`: the YouTube video and the number of the clip; no labels.

    Who is shown is not known; clips of one video count as one actor, so that no person is on two sides of a split. Such
    names look like many others: this parser is used where it is named, not tried on every folder.
    """
    match = _CELEBV_HQ.search(path)
    return None if match is None else Name(match[2], clip=match[1])


def emotion_folders(path: str, styles: Mapping[str, StyleKind]) -> Name | None:
    """A folder for each emotion: `train/happy/7.png` (FER2013, RAF-DB, AffectNet), `0011/Angry/0011_000351.wav` (ESD).

    The folder that holds a file gives its emotion, without a level; a folder of another name is the emotion as it is
    written, for a label map to read. The folder above names the actor where it is one; images of unknown people are
    one actor for each part of the collection (`train`, `validation`), so that a split can separate the parts. None
    where no folder names an emotion.
    """
    *folders, _ = path.split("/")
    named = [folder for folder in folders if folder.lower() not in PARTS]
    if not named:
        return None
    *above, last = named
    emotion = last if last in styles else spelling(last) or last.lower()
    parts = [folder for folder in folders if folder not in named]
    actor = "_".join(above or parts) or ALL
    level = 1 if emotion == "neutral" else None
    return Name(actor, emotion, styles.get(emotion, "basic"), level, clip=path.replace("/", "__"))
