"""A user's table in a YAML file: its entries, its rows, and the variants that rows describe themselves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablations.variants import FIELDS, Variant, beside, read_variant
from conventions.errors import UserError, nearest
from experiments.compose import load_yaml

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
