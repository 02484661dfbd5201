"""Small tables as CSV files, whole or absent."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from conventions.files import write_text


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
