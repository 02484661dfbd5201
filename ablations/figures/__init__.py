"""The paper's figures from finished runs. A new one is a function `draw(request) -> Drawing`, listed in `FIGURES`."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from conventions.errors import UserError


@dataclass(frozen=True)
class Request:
    """What a figure is drawn from: the finished runs of one experiment and seed."""

    runs: Path
    preset: str = "toy"
    seed: int = 0
    overrides: Sequence[str] = ()
    rows: int = 3
    """Clips to show, where the figure shows clips."""


@runtime_checkable
class Drawing(Protocol):
    """A figure that is ready to be written."""

    def write(self, out: Path) -> None:
        """Write the file; UserError for a kind of file that the figure cannot be."""
        ...


@dataclass(frozen=True)
class Figure:
    """One figure of the paper."""

    title: str
    function: str
    """What draws it: `module:function` in `ablations.figures`."""


FIGURES: Mapping[str, Figure] = {
    "5": Figure("unseen styles, by emotion encoding", "clips:unseen_styles"),
    "6": Figure("actors never seen, with flow", "clips:unseen_actors"),
    "7": Figure("interpolation and intensity", "clips:interpolation"),
    "8": Figure("clusters of the intensity token", "token_clusters:draw"),
    "9": Figure("L_emo and the 3D reconstruction", "clips:emotion_loss"),
    "10": Figure("ablations of EAC, clip by clip", "clips:eac_variants"),
    "11": Figure("ablations of the flow, clip by clip", "clips:flow_variants"),
}


def draw(number: str, request: Request) -> Drawing:
    """The figure of that number; UserError when there is none, or when a run that it needs is not finished."""
    if number not in FIGURES:
        raise UserError(f"figure {number!r} is unknown; there are {', '.join(FIGURES)}")
    module, _, function = FIGURES[number].function.partition(":")
    return getattr(importlib.import_module(f"ablations.figures.{module}"), function)(request)
