"""What a variant is: a difference in config fields, with the claim that it tests. Users bring their own as YAML.

A user's table in a YAML file may describe variants in its rows.
"""

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
FIELDS = ("id", "title", "stage", "claim", "overrides", "expected", "builds_on")
YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Variant:
    """One ablation: config keys with their values, and what the paper claims about them.

    Examples:
        >>> short = Variant("short", "Short memory", "eac", "five frames suffice", {"eac.backbone.past": 2})
        >>> short.overrides
        {'eac.backbone.past': 2}
    """

    id: str
    """Part of run ids."""
    title: str
    """Name of the row in tables."""
    stage: str
    """The first stage that it changes."""
    claim: str
    """What the comparison with the full model is to show."""
    overrides: Mapping[str, Value] = field(default_factory=dict)
    """Dotted config key -> value."""
    expected: Mapping[str, Expectation] = field(default_factory=dict)
    """Metric -> how the variant should compare with the full model."""
    builds_on: tuple[str, ...] = ()
    """Further variants whose trained stages this one reuses where it can, besides those of the full model."""


def load_variant(path: Path) -> Variant:
    """A user's variant from a YAML file with the fields of `Variant`; only `overrides` is required."""
    return read_variant(f"{path}", load_yaml(path), path)


def read_variant(place: str, content: Mapping[str, Any], path: Path) -> Variant:
    """A variant from the entries of a YAML file; `place` begins an error line, other files are beside `path`."""
    for key in content:
        if key not in FIELDS:
            raise UserError(f"{place}: unknown key {key!r}{nearest(str(key), FIELDS)}")
    overrides = content.get("overrides")
    if not isinstance(overrides, dict) or not overrides:
        raise UserError(f"{place}: overrides: expected a mapping of dotted config keys to values")
    name = str(content.get("id", path.stem))
    if name == FULL or not name.replace("_", "").replace("-", "").isalnum():
        raise UserError(f"{place}: id: {name!r} is not a valid id; use letters, digits, - and _, and not 'full'")
    stage = str(content.get("stage", _first_stage(overrides)))
    if stage not in STAGES:
        raise UserError(f"{place}: stage: {stage!r} is unknown{nearest(stage, STAGES)}")
    builds_on = content.get("builds_on", [])
    if not isinstance(builds_on, list) or not all(isinstance(one, str) for one in builds_on):
        raise UserError(f"{place}: builds_on: expected a list of variants")
    expected = _expected(place, content.get("expected", {}))
    texts = (name, str(content.get("title", name)), stage, str(content.get("claim", "")))
    return Variant(*texts, overrides, expected, tuple(beside(path, str(one)) for one in builds_on))


def beside(path: Path, name: str) -> str:
    """A variant or an experiment as the file `path` names it: a YAML file is beside that file."""
    return str(path.parent / name) if name.partition("#")[0].endswith(YAML) else name


def _expected(place: str, expected: Any) -> Mapping[str, Expectation]:
    if not isinstance(expected, dict):
        raise UserError(f"{place}: expected: expected a mapping of metrics to {', '.join(EXPECTATIONS)}")
    for metric, word in expected.items():
        if word not in EXPECTATIONS:
            raise UserError(f"{place}: expected.{metric}: {word!r}{nearest(str(word), EXPECTATIONS)}")
    return expected


def _first_stage(overrides: Mapping[str, Any]) -> str:
    sections = {key.split(".")[0] for key in overrides}
    return next((stage for stage in STAGES if stage in sections), "evaluate")


SPEECH = Path(__file__).parent / "speech.yaml"
FILES: Mapping[str, Path] = {"speech": SPEECH}
"""Tables of the package in this form, by name."""

KEYS = ("title", "preset", "seeds", "metrics", "against", "groups")
ROW_KEYS = ("variant", "paper", *FIELDS)


def is_table(content: Mapping[str, Any]) -> bool:
    """Whether a YAML file's entries are those of a table and not of a sweep."""
    return "groups" in content or "parameters" not in content


def read_table(path: Path) -> dict[str, Any]:
    """The entries of a table's file, `groups` being lists of mappings; UserError names what is wrong."""
    content = load_yaml(path)
    for key in content:
        if key not in KEYS:
            raise UserError(f"{path}: unknown key {key!r}{nearest(str(key), KEYS)}")
    groups = content.get("groups")
    if (
        not isinstance(groups, dict)
        or not groups
        or not all(isinstance(rows, list) and rows for rows in groups.values())
    ):
        raise UserError(f"{path}: groups: expected a mapping of names to lists of rows")
    rows = {name: [_row(f"{path}: groups.{name}", row) for row in rows] for name, rows in groups.items()}
    return {**content, "groups": rows}


def _row(place: str, row: Any) -> dict[str, Any]:
    """A row as a mapping; a single word is a variant."""
    found = {"variant": row} if isinstance(row, str) else row
    if not isinstance(found, dict):
        raise UserError(f"{place}: {row!r}: expected a variant, or a mapping with variant or overrides")
    for key in found:
        if key not in ROW_KEYS:
            raise UserError(f"{place}: unknown key {key!r}{nearest(str(key), ROW_KEYS)}")
    if ("variant" in found) == ("overrides" in found):
        raise UserError(f"{place}: expected exactly one of variant and overrides in each row")
    if "variant" in found and (more := set(found) - {"variant", "title", "paper"}):
        raise UserError(f"{place}: {min(more)}: is not allowed beside variant, which has its own")
    if "overrides" in found and "id" not in found:
        raise UserError(f"{place}: id: a row with overrides needs one")
    return found


def row_name(path: Path, row: Mapping[str, Any]) -> str:
    """The variant of a row, as `emospace run --variant` takes it."""
    return beside(path, str(row["variant"])) if "variant" in row else f"{path}#{row['id']}"


def packaged_row(name: str) -> Path | None:
    """The file of the package's table that has a row of that id with overrides; None where there is none."""
    for path in FILES.values():
        rows = [row for rows in read_table(path)["groups"].values() for row in rows]
        if any(row.get("id") == name for row in rows):
            return path
    return None


def row_variant(path: Path, name: str) -> Variant:
    """The variant that the row `name` of a table's file describes itself."""
    rows = {str(row["id"]): row for rows in read_table(path)["groups"].values() for row in rows if "overrides" in row}
    if name not in rows:
        raise UserError(f"{path}: no row has the id {name!r}{nearest(name, rows)}")
    content = {key: value for key, value in rows[name].items() if key in FIELDS}
    return read_variant(f"{path}#{name}", content, path)
