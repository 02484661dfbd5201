"""The metric by which a sweep's runs are ordered, read from a run folder."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from experiments.rundir import RunFolder, read_history

Phase = Literal["train", "val", "test"]
PHASES: tuple[Phase, ...] = ("train", "val", "test")
T = TypeVar("T")


@dataclass(frozen=True)
class Goal:
    """A sweep's `metric`: its name as W&B has it, such as `val/PSNR`, and whether more is better."""

    metric: str
    maximize: bool = False

    def value(self, folder: RunFolder) -> float | None:
        """The run's value; None where it has none."""
        return metric_of(folder, self.metric)

    def best_first(self, valued: Iterable[tuple[float | None, T]]) -> list[T]:
        """Items by their values, those without a value last; items of one value keep their order."""
        sign = -1 if self.maximize else 1
        return [item for _, item in sorted(valued, key=lambda one: math.inf if one[0] is None else sign * one[0])]


def metric_of(folder: RunFolder, name: str) -> float | None:
    """`test/NAME` from metrics.json; `val/NAME` and `train/NAME` from the last row of history.jsonl that has it."""
    phase, _, short = name.partition("/")
    if phase == "test":
        return _finite(folder.read("metrics.json").get("metrics", {}).get(short))
    return last_values(folder, phase).get(name)


def last_values(folder: RunFolder, phase: str) -> dict[str, float]:
    """The last value of each scalar `phase/NAME` of history.jsonl; without those whose last one is not finite."""
    last = {
        name: value
        for row in read_history(folder.history)
        for name, value in row.items()
        if name.startswith(f"{phase}/")
    }
    return {name: number for name, value in last.items() if (number := _finite(value)) is not None}


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
