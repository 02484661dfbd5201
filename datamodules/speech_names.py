"""How speech features are named, in configs and in stores; in a file of its own that needs neither NumPy nor torch."""

import re
from dataclasses import dataclass
from pathlib import Path

from conventions.errors import UserError
from conventions.rates import MEL_BINS, MEL_STEPS_PER_FRAME, MFCC_COEFFICIENTS, MFCC_WINDOW

HUGGING_FACE = "hf:"

OWN_SPEECH = ("mfcc", "mel")
"""Features that every store holds."""


@dataclass(frozen=True)
class SpeechForm:
    """What a frame of speech is for EAC; a run takes it from its store, for the feature that `data.speech` names."""

    name: str = "mfcc"
    """Name of the feature as in `data.speech`, without the path of a local encoder."""
    shape: tuple[int, ...] = (MFCC_WINDOW, MFCC_COEFFICIENTS)
    """Shape of a frame."""
    digest: str = ""
    """SHA-256 of the feature's weights; empty where it has none."""

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"shape: {list(self.shape)} is not valid; it needs one or more positive numbers")


VOICE = SpeechForm("mel", (MEL_STEPS_PER_FRAME, MEL_BINS))
"""What AME reads of a voice by default."""


def canonical(name: str) -> str:
    """The name under which a store keeps a feature: that of a local encoder is its folder's, wherever it lies."""
    if not name.startswith(HUGGING_FACE):
        return name
    place, layer = split_layer(name)
    is_local = place.startswith(("/", ".", "~")) or Path(place).is_dir()
    base = Path(place).expanduser().resolve().name if is_local else place
    return f"{HUGGING_FACE}{base}" + ("" if layer is None else f":{layer}")


def split_layer(name: str) -> tuple[str, int | None]:
    """Folder or hub name, and layer (None: the output), of `hf:NAME_OR_FOLDER[:layer]`."""
    match = re.fullmatch(r"hf:(.+?)(?::(-?\d+))?", name)
    if match is None:
        raise UserError(f"speech feature {name!r}: does not name an encoder; expected hf:NAME_OR_FOLDER[:layer]")
    return match[1], None if match[2] is None else int(match[2])


def speech_file_name(name: str) -> str:
    """`speech.KEY.npy`: the file of a store that holds the feature of a canonical name."""
    key = re.sub(r"[^A-Za-z0-9._-]+", "-", name.removeprefix(HUGGING_FACE)).strip("-.")
    return f"speech.{key or 'feature'}.npy"
