"""Configurations as plain dictionaries, as checkpoints hold them, and back."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conventions.errors import UserError

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
