"""Values clip by clip as means by emotion, level or actor."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from conventions.errors import UserError
from metrics.protocol import METRIC_NAMES, SET_METRICS

LABELS = ("emotion", "level", "actor")


def by_label(rows: Iterable[Mapping[str, Any]], label: str) -> dict[str, dict[str, float]]:
    """Group -> number of `clips` and the mean of each metric that a single clip has; NaN where none has a value.

    A clip without the label is in the group `-`. Metrics of the whole set (FID, FVD, E-FID) are left out.
    """
    if label not in LABELS:
        raise UserError(f"--by {label}: expected {', '.join(LABELS)}")
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row.get(label) or "-"), []).append(row)
    metrics = [name for name in METRIC_NAMES if name not in SET_METRICS]
    return {
        group: {"clips": float(len(some)), **{name: _mean(some, name) for name in metrics}}
        for group, some in sorted(groups.items())
    }


def _mean(rows: Iterable[Mapping[str, Any]], name: str) -> float:
    values = [
        float(row.get(name) or "nan") if isinstance(row.get(name), str) else row.get(name, math.nan) for row in rows
    ]
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan
