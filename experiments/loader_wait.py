"""How long training waits for its batches."""

import time

from pytorch_lightning.profilers import Profiler


class LoaderWait(Profiler):
    """Lightning's hook on the fetching of batches. The first one, which starts the loader, does not count."""

    def __init__(self) -> None:
        super().__init__()
        self._first: float | None = None
        """When the first batch was there."""
        self._began = self._seconds = 0.0

    def start(self, action_name: str) -> None:
        """An action begins."""
        if action_name.endswith("train_dataloader_next"):
            self._began = time.perf_counter()

    def stop(self, action_name: str) -> None:
        """An action ends."""
        if not action_name.endswith("train_dataloader_next"):
            return
        now = time.perf_counter()
        if self._first is None:
            self._first = now
        else:
            self._seconds += now - self._began

    @property
    def share(self) -> float | None:
        """Seconds of waiting for batches over all seconds of training since the first batch; None before it."""
        if self._first is None:
            return None
        return self._seconds / max(time.perf_counter() - self._first, 1e-9)
