"""Stand-in sections until the floors below bring their own; replaced one by one in schema.py."""

from dataclasses import dataclass


@dataclass(frozen=True)
class JudgesConfig:
    """Small networks behind the metrics."""

    steps: int = 100


@dataclass(frozen=True)
class EACConfig:
    """Audio to coefficients."""

    backbone: str = "transformer"
    steps: int = 100
