"""What Lightning records of a run: its curves, one JSON line each, and the time that it waits for batches."""

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

from experiments.rundir import HistoryRow


class HistoryLogger(Logger):
    """Appends `{"step": batches trained, "time": seconds since 1970, "train/loss": ...}` to history.jsonl.

    Values that are not finite are written as null, so that every line is JSON. `follow` sees each row as well.
    """

    def __init__(self, path: Path, follow: Callable[[HistoryRow], None] | None = None) -> None:
        super().__init__()
        self.path = path
        self.follow = follow
        self.last: HistoryRow = {}

    @property
    def name(self) -> str:
        """Lightning's name for the logger."""
        return "history"

    @property
    def version(self) -> str:
        """The run's id."""
        return self.path.parent.name

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append one row; `step` counts batches from 0, the row holds how many are trained."""
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        row: HistoryRow = {"step": (step or 0) + 1, "time": round(time.time(), 3), **values}
        line = {name: value if math.isfinite(value) else None for name, value in row.items()}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.last = row
        if self.follow is not None:
            self.follow(row)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml holds them."""


NEXT_BATCH, BATCH = "train_dataloader_next", "run_training_batch"
"""Ends of Lightning's names for the two actions whose durations count."""


class LoopDurations(SimpleProfiler):
    """Durations of fetching and of training batches, and no report; other actions would fill the memory."""

    def start(self, action_name: str) -> None:
        """An action begins."""
        if action_name.endswith((NEXT_BATCH, BATCH)):
            super().start(action_name)

    def stop(self, action_name: str) -> None:
        """An action ends."""
        if action_name.endswith((NEXT_BATCH, BATCH)):
            super().stop(action_name)

    def summary(self) -> str:
        """Nothing to print."""
        return ""


def make_profiler(name: str, folder: Path) -> Profiler:
    """The profiler of `trainer.profiler`, whose report is the run folder's file `fit-profile.txt`."""
    kinds = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}
    return kinds[name](dirpath=folder, filename="profile") if name else LoopDurations()


def share_of_waiting(trainer: pl.Trainer) -> float | None:
    """Seconds spent on fetching batches over all seconds of training; None before the second batch.

    The first batch, which starts the loader, does not count.
    """
    profiler = trainer.profiler  # pyright: ignore[reportAttributeAccessIssue]
    if not isinstance(profiler, SimpleProfiler):
        return None
    waits, batches = (_durations(profiler, name) for name in (NEXT_BATCH, BATCH))
    if len(waits) < 2 or not batches:
        return None
    waited = sum(waits[1:])
    return waited / max(waited + sum(batches), 1e-9)


def _durations(profiler: SimpleProfiler, ending: str) -> list[float]:
    return next((times for name, times in profiler.recorded_durations.items() if name.endswith(ending)), [])
