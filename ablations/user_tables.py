"""Tables by name: those of the paper, and a user's own from a YAML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablations.paper import TABLES, PaperRow, PaperTable
from ablations.registry import find_variant
from ablations.table_files import FILES, read_table, row_name
from ablations.variants import YAML, beside
from conventions.errors import UserError, nearest
from experiments.graph import FULL
from experiments.values import as_number
from metrics.protocol import HIGHER_IS_BETTER

METRICS = tuple(name for name, better in HIGHER_IS_BETTER.items() if better is not None)
"""What may be a column: metrics of which more or less is better."""


def find_table(name: str) -> PaperTable:
    """A table of the paper by name, or a user's from a YAML file; UserError names the nearest."""
    if name.endswith(YAML):
        return load_table(Path(name))
    if name in FILES:
        return load_table(FILES[name])
    if name not in TABLES:
        raise UserError(f"table {name!r} is unknown{nearest(name, (*TABLES, *FILES))}")
    return TABLES[name]


def load_table(path: Path) -> PaperTable:
    """A user's table: `groups` of rows and `metrics`; `title`, `preset`, `seeds` and `against` where wanted.

    `against` is the row that the others are compared with: `full` where it has a row, else the first row.
    """
    content = read_table(path)
    rows = tuple(_row(path, group, row) for group, rows in content["groups"].items() for row in rows)
    names = [row.variant for row in rows if row.variant is not None]
    labels = [row["id"] for rows in content["groups"].values() for row in rows if "id" in row]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise UserError(f"{path}: id: {min(twice)!r} is used by two rows")
    texts = {"preset": beside(path, str(content["preset"]))} if "preset" in content else {}
    title = str(content.get("title", path.stem))
    against = _against(path, content, names)
    return PaperTable(path.stem, title, _metrics(path, content), rows, against, **texts, seeds=_seeds(path, content))


def _row(path: Path, group: str, row: Mapping[str, Any]) -> PaperRow:
    name = row_name(path, row)
    title = str(row.get("title", find_variant(name).title))
    paper = row.get("paper", {})
    place = f"{path}: groups.{group}: {title}: paper"
    if not isinstance(paper, Mapping):
        raise UserError(f"{place}: expected a mapping of metrics to values")
    return PaperRow(str(group), title, name, {str(m): _number(f"{place}.{m}", value) for m, value in paper.items()})


def _number(place: str, value: Any) -> float:
    number = as_number(value)
    if number is None:
        raise UserError(f"{place}: {value!r} is not a number")
    return float(number)


def _metrics(path: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    metrics = content.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        raise UserError(f"{path}: metrics: expected a list of metrics, such as [EFD, LMD, Sync]")
    for metric in metrics:
        if metric not in METRICS:
            raise UserError(f"{path}: metrics: {str(metric)!r} is unknown{nearest(str(metric), METRICS)}")
    return tuple(str(metric) for metric in metrics)


def _seeds(path: Path, content: Mapping[str, Any]) -> tuple[int, ...]:
    given = content.get("seeds", [0])
    seeds = [as_number(one) for one in given] if isinstance(given, list) else []
    if not seeds or not all(isinstance(seed, int) and seed >= 0 for seed in seeds):
        raise UserError(f"{path}: seeds: expected a list of whole numbers, such as [0, 1, 2]")
    return tuple(int(seed) for seed in seeds if seed is not None)


def _against(path: Path, content: Mapping[str, Any], names: list[str]) -> str:
    if "against" not in content:
        return FULL if FULL in names else names[0]
    given = str(content["against"])
    by_label = {name.partition("#")[2] or Path(name).name: name for name in names} | {name: name for name in names}
    if given not in by_label:
        raise UserError(f"{path}: against: {given!r} is not a row{nearest(given, by_label)}")
    return by_label[given]
