"""What the files of a run folder hold: JSON entries of one type each, which other parts read, and small CSV tables."""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from conventions.files import write_text

Test = Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """A finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _names(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _or_none(test: Test) -> Test:
    return lambda value: value is None or test(value)


FILES: Mapping[str, Mapping[str, Test]] = {
    "status.json": {
        **dict.fromkeys(("state", "hash", "stage", "variant", "title", "experiment", "sweep", "launch"), _text),
        **dict.fromkeys(("step", "total", "seconds", "data_wait"), _or_none(is_number)),
        **dict.fromkeys(("pid", "seed", "heartbeat", "peak_memory_bytes"), is_number),
        **{"reason": _or_none(_text), "fields": _names},
    },
    "metrics.json": {
        **dict.fromkeys(("hash", "stage", "protocol"), _text),
        **dict.fromkeys(("required", "undefined", "stand_ins", "refused"), _texts),
        **dict.fromkeys(("metrics", "backbones", "networks_sha256", "frames_sha256"), _mapping),
    },
    "provenance.json": {
        "parents": _names,
        **dict.fromkeys(("git", "packages", "machine", "store", "files", "parent_weights"), _mapping),
    },
}
"""File -> entry -> what holds of its value where it is there; further entries are free."""


def wrong_entry(file: str, content: Mapping[str, Any]) -> str | None:
    """The first entry of a file whose value is of another type; None for audio content."""
    tests = FILES.get(file, {})
    return next((name for name, value in content.items() if name in tests and not tests[name](value)), None)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of equal columns; floats to 9 digits, NaN as an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = list(rows[0])
    writer.writerow(columns)
    writer.writerows([[_cell(row[name]) for name in columns] for row in rows])
    write_text(path, text.getvalue())


def read_columns(path: Path, names: Sequence[str]) -> list[tuple[str, ...]]:
    """The columns `names` as text, each from top to bottom; "" where a column is absent, empty where the file is.

    UserError for a file whose rows are not all as long as its head.
    """
    if not path.exists():
        return [() for _ in names]
    with path.open(newline="") as file:
        head, *rows = list(csv.reader(file)) or [[]]
    try:
        columns = dict(zip(head, zip(*rows, strict=True), strict=True)) if rows else {}
    except ValueError as error:
        raise UserError(
            f"{path}: the file is damaged; not every row has the {len(head)} cells of the header"
        ) from error
    return [columns.get(name, ("",) * len(rows)) for name in names]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.9g}"
    return str(value)
