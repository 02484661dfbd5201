"""Stand-in sections until the floors below bring their own; replaced one by one in schema.py."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class DataConfig:
    """Which store and split."""

    store: str = field(default="work/toy-store", metadata={"numbers": False})
    split: str = "toy"


@dataclass(frozen=True)
class PriorConfig:
    """Stand-ins of the pretrained text towers."""

    steps: int = 100


@dataclass(frozen=True)
class JudgesConfig:
    """Small networks behind the metrics."""

    steps: int = 100


@dataclass(frozen=True)
class AMEConfig:
    """Emotion space."""

    encoding: str = "clip"
    steps: int = 100


@dataclass(frozen=True)
class EACConfig:
    """Audio to coefficients."""

    encoding: str = "clip"
    backbone: str = "transformer"
    steps: int = 100


@dataclass(frozen=True)
class HEFConfig:
    """Coefficients to frames."""

    encoding: str = "clip"
    steps: int = 100
