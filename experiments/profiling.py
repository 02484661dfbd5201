"""Lightning's profilers: the share of the training time spent waiting for batches, and the user's own choice."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

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
