"""A user's own losses, named in a config as `module:function=weight`."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from conventions.registry import Registry

LOSSES = Registry("extra loss", "losses", {})
"""Import paths and entry points alone: the stages' own losses have weights of their own."""

Loss = Callable[..., Any]


def check_losses(texts: Sequence[str]) -> None:
    """ValueError for a text that is no `module:function=weight`."""
    for text in texts:
        _split(text)


def load_losses(texts: Sequence[str]) -> dict[str, tuple[Loss, float]]:
    """Name in logs -> (function, weight); a class is made without arguments, UserError where an import fails."""
    found: dict[str, tuple[Loss, float]] = {}
    for text in texts:
        path, weight = _split(text)
        loss = LOSSES.load(path)
        found[path.rpartition(":")[2]] = (loss() if isinstance(loss, type) else loss, weight)
    return found


def _split(text: str) -> tuple[str, float]:
    path, _, weight = text.rpartition("=")
    try:
        number = float(weight)
    except ValueError:
        number = float("nan")
    if not path or not math.isfinite(number):
        raise ValueError(f"extra_losses: {text!r} is not valid; it must be module:function=weight")
    return path, number
