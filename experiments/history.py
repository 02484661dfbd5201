"""Curves of a run as Lightning logs them: one JSON line each, on the axis of trained batches."""

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.loggers.logger import Logger

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
