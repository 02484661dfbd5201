"""Configurations: checks of their values, plain dictionaries as in checkpoints, and the losses of a user."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conventions.errors import UserError
from conventions.registry import Registry

C = TypeVar("C")

IF_CHANGED = {"numbers": "if changed"}
"""Field metadata of a switch that came later: part of a run's identity where it differs from its default."""


def as_config(kind: type[C], values: C | Mapping[str, Any]) -> C:
    """A config, from itself or a plain nested dictionary; UserError for an unknown key or an impossible value."""
    if isinstance(values, kind):
        return values
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), OmegaConf.create(dict(values)))  # pyright: ignore
        built = OmegaConf.to_object(merged)
    except (OmegaConfBaseException, ValueError) as error:
        raise UserError(f"{kind.__name__}: {str(error).partition(chr(10))[0]}") from error
    assert isinstance(built, kind)
    return built


def as_plain(config: Any) -> dict[str, Any]:
    """A config as nested dictionaries of numbers, texts and lists."""
    return _plain(dataclasses.asdict(config))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def at_least(least: float | int, **values: float | int) -> None:
    """Each value is `least` or more."""
    for name, value in values.items():
        if not value >= least:
            raise ValueError(f"{name}: {value} is not valid; it must be at least {least}")


def positive(**values: float | int) -> None:
    """Each value is greater than 0."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}: {value} is not valid; it must be greater than 0")


def share(**values: float | int) -> None:
    """Each value lies in 0..1."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: {value} is not valid; it must be between 0 and 1")


def below_one(**values: float) -> None:
    """Each value lies in 0..1 and is less than 1, as decays must be."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}: {value} is not valid; it must be at least 0 and less than 1")


def known(registry: Registry, **names: str) -> None:
    """Each name is of the registry, or an import path."""
    for field, name in names.items():
        try:
            registry.path(name)
        except UserError as error:
            raise ValueError(f"{field}: {error}") from error


def divides(width: int, heads: int, even: bool = False) -> None:
    """Attention's width is a multiple of its heads, of twice their count where pairs of channels are turned."""
    unit = 2 * heads if even else heads
    if heads < 1 or width < unit or width % unit:
        raise ValueError(f"width: {width} must be a multiple of {'2 x ' if even else ''}heads ({heads})")


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
