"""Small tables as CSV files, whole or absent."""

import csv
import io
import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    """The columns `names` as text, row by row; "" where a column is absent, no rows where the file is."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        reader = csv.reader(file)
        head = next(reader, [])
        chosen = operator.itemgetter(*(head.index(name) if name in head else -1 for name in names))
        return [chosen([*row, ""]) for row in reader]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.9g}"
    return str(value)
