"""A scored folder again: are the files still those that were scored, and do they still give the same values?"""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from emospace.scoring.pairs import Pairs
from emospace.scoring.score import ROWS, Scores, digests_of
from metrics.protocol import METRIC_NAMES

TOLERANCE = 1e-4
"""Relative difference of a value under which it is the same: other processors and thread counts round differently."""


def read_document(folder: Path) -> dict[str, Any]:
    """The folder's metrics.json; UserError where it is none of `emospace score --out`."""
    path = folder / "metrics.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        document["files_sha256"].items()
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: is not what emospace score --out writes ({type(error).__name__})") from error
    return document


def other_files(document: Mapping[str, Any], pairs: Pairs) -> list[str]:
    """What differs between the files that were scored and those of `pairs`, before anything is scored."""
    before = document["files_sha256"]
    now = {pair.id: pair for pair in pairs.pairs}
    lines = [f"{clip}: was scored and is not here" for clip in before if clip not in now]
    lines += [f"{clip}: is here and was not scored" for clip in now if clip not in before]
    for clip in before.keys() & now.keys():
        found = digests_of(now[clip])
        lines += [
            f"{clip}: the {side} video is another file" for side in found if found[side] != before[clip].get(side)
        ]
    return sorted(lines)


def differences(folder: Path, document: Mapping[str, Any], scores: Scores) -> list[str]:
    """What differs between a folder and its scores computed again: protocol, networks, means and clips."""
    again = scores.json()
    lines = [
        f"{key}: was {document.get(key)}, is {again[key]}"
        for key in ("protocol", "backbones", "networks_sha256")
        if document.get(key) != again[key]
    ]
    for row in ROWS:
        means = document["rows"].get(row, {})
        lines += [f"{row}: {line}" for line in _unlike(means, again["rows"][row])]
        lines += [f"{row}: {line}" for line in _clips(folder / f"{row}.csv", scores.rows[row])]
    return lines


def _clips(path: Path, rows: list[dict[str, Any]]) -> Iterator[str]:
    if not path.is_file():
        yield f"{path.name} is absent"
        return
    with path.open(newline="", encoding="utf-8") as file:
        before = {row["id"]: row for row in csv.DictReader(file)}
    for row in rows:
        if row["id"] in before:
            yield from (f"{row['id']}: {line}" for line in _unlike(before[row["id"]], row))


def _unlike(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for metric in METRIC_NAMES:
        old, new = (_number(one.get(metric)) for one in (before, now))
        both_missing = math.isnan(old) and math.isnan(new)
        if not both_missing and not math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{metric} was {old:.9g}, is {new:.9g}"


def _number(value: Any) -> float:
    return math.nan if value in (None, "") else float(value)
