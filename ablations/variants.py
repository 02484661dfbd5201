"""What a variant is: a difference in config fields, with the claim that it tests. Users bring their own as YAML."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from conventions.errors import UserError, nearest
from experiments.compose import load_yaml
from experiments.graph import FULL, STAGES

Value = str | int | float | bool
Expectation = Literal["worse", "better", "similar"]
EXPECTATIONS = ("worse", "better", "similar")
FIELDS = ("id", "title", "stage", "claim", "overrides", "expected")


@dataclass(frozen=True)
class Variant:
    """One ablation: dotted config keys and their values, and what the paper lets one expect of them."""

    id: str
    """Stands in run ids."""
    title: str
    stage: str
    """The first stage that it changes."""
    claim: str
    """What the comparison with the full model is to show."""
    overrides: Mapping[str, Value] = field(default_factory=dict)
    expected: Mapping[str, Expectation] = field(default_factory=dict)
    """Metric -> how the variant should fare against the full model."""
    builds_on: tuple[str, ...] = ()
    """The variants whose stages this one shares where it can, besides the full model."""


def load_variant(path: Path) -> Variant:
    """A user's variant from a YAML file with the fields of `Variant`; only `overrides` is required."""
    content = load_yaml(path)
    for key in content:
        if key not in FIELDS:
            raise UserError(f"{path}: unknown key {key!r}{nearest(str(key), FIELDS)}")
    overrides = content.get("overrides")
    if not isinstance(overrides, dict) or not overrides:
        raise UserError(f"{path}: overrides: expected a mapping of dotted config keys to values")
    name = str(content.get("id", path.stem))
    if name == FULL or not name.replace("_", "").replace("-", "").isalnum():
        raise UserError(f"{path}: id: {name!r} cannot stand in a run id; use letters, digits, - and _, and not 'full'")
    stage = str(content.get("stage", _first_stage(overrides)))
    if stage not in STAGES:
        raise UserError(f"{path}: stage: {stage!r} is unknown{nearest(stage, STAGES)}")
    expected = _expected(path, content.get("expected", {}))
    return Variant(name, str(content.get("title", name)), stage, str(content.get("claim", "")), overrides, expected)


def _expected(path: Path, expected: Any) -> Mapping[str, Expectation]:
    if not isinstance(expected, dict):
        raise UserError(f"{path}: expected: expected a mapping of metrics to {', '.join(EXPECTATIONS)}")
    for metric, word in expected.items():
        if word not in EXPECTATIONS:
            raise UserError(f"{path}: expected.{metric}: {word!r}{nearest(str(word), EXPECTATIONS)}")
    return expected


def _first_stage(overrides: Mapping[str, Any]) -> str:
    sections = {key.split(".")[0] for key in overrides}
    return next((stage for stage in STAGES if stage in sections), "evaluate")
