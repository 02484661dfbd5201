"""What a run asks of its data, and how speech features are named; needs neither NumPy nor torch."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

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


@dataclass(frozen=True)
class DataConfig:
    """Which clips a run sees."""

    store: str = field(default="", metadata={"numbers": False})
    """Folder of a packed store; a run's identity has the store's content hash, not its path."""
    split: str = field(default="toy", metadata={"numbers": False})
    """A split of `datamodules/splits`, or the path of a YAML file; a run's identity has its content."""
    image_size: int = 64
    """Side of the images that AME and EAC receive, in pixels."""
    clip_frames: int = 25
    """Length of a training stretch in video frames."""
    views: tuple[str, ...] = ("front",)
    """Cameras that are used."""
    coefficients: Literal["measured", "exact"] = "measured"
    """Coefficients that EAC and HEF receive: as a tracker measures them, or those that toy clips were rendered from.
    Tests and figures compare with the exact ones wherever the store has them."""
    speech: str = field(default="mfcc", metadata={"numbers": False})
    """Speech feature that EAC receives: mfcc, mel, hf:NAME_OR_FOLDER[:layer] or module:Class; all but the first two are
    added to a store by `emospace store STORE --add-speech`. A run's identity has its content."""
    voice: str = field(default="mel", metadata={"numbers": False})
    """Speech feature that AME's voice encoder reads, named as in `speech`: mel, on which it is trained from scratch, or
    features of a frozen encoder (hf:...)."""
    workers: int = field(default=0, metadata={"numbers": False})
    """Processes that assemble batches; 0: the training process itself."""

    def __post_init__(self) -> None:
        for name, least in (("image_size", 16), ("clip_frames", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: {getattr(self, name)} is not valid; it must be at least {least}")
        if not self.views:
            raise ValueError("views: is empty; give for example [front]")


@dataclass(frozen=True)
class PoolConfig:
    """One store of a mixture."""

    store: str
    """Folder of a packed store; a run's identity has its content."""
    split: str = "all_train"
    """A split for that store."""
    weight: float = 1.0
    """Its share of a batch, in proportion to the other weights."""

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"weight: {self.weight:g} is not valid; it must be more than 0")


@dataclass(frozen=True)
class StageDataConfig:
    """Data of one stage alone, in place of the section `data`; empty fields take the shared value."""

    store: str = field(default="", metadata={"numbers": False})
    """Folder of a packed store for this stage, such as a large set of faces for HEF."""
    split: str = field(default="", metadata={"numbers": False})
    """A split for that store."""
    coefficients: Literal["", "measured", "exact"] = field(default="", metadata={"numbers": False})
    """Coefficients that this stage receives, as `data.coefficients`."""


@dataclass(frozen=True)
class AMEDataConfig:
    """Data of AME alone, in place of the section `data`: a store, or a list of stores with weights, such as
    `ame.data: [{store: VOICES, split: my.yaml, weight: 2}, {store: PICTURES}]`, which is short for `mix`."""

    LIST: ClassVar[str] = "mix"

    store: str = field(default="", metadata={"numbers": False})
    """Folder of a packed store for this stage."""
    split: str = field(default="", metadata={"numbers": False})
    """A split for that store."""
    mix: tuple[PoolConfig, ...] = field(default=(), metadata={"numbers": False})
    """Stores (`store`, `split`, `weight`) of which each batch holds a share; no clip needs both image and audio."""
