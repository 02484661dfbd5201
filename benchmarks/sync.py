"""Sync distance of a 60 s clip: `metrics.functional.sync` against the loop of the official SyncNet script.

python -m benchmarks.sync      prints the best of some runs of each, their ratio and the largest difference.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from metrics.functional.sync import MAX_SHIFT, shift_distances
from metrics.speech_features import num_windows

SECONDS = 60
FEATURES = 1024
REPEATS = 20


def official_loop(video: Tensor, audio: Tensor) -> Tensor:
    """What syncnet_python and its descendants do: frame after frame, all shifts of it by pairwise_distance."""
    padded = F.pad(audio, (0, 0, MAX_SHIFT, MAX_SHIFT))
    width, rows = 2 * MAX_SHIFT + 1, []
    for frame in range(len(video)):
        rows.append(F.pairwise_distance(video[[frame]].repeat(width, 1), padded[frame : frame + width]))
    return torch.stack(rows, 1).mean(1)


def best_time(function: Callable[[], Tensor]) -> tuple[float, Tensor]:
    times, result = [], function()
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def main() -> None:
    num = num_windows(SECONDS * 25, SECONDS * 16_000)
    generator = torch.Generator().manual_seed(0)
    audio = torch.randn(num, FEATURES, generator=generator)
    video = audio.roll(2, 0) + 0.3 * torch.randn(num, FEATURES, generator=generator)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        loop, expected = best_time(lambda: official_loop(video, audio))
        ours, found = best_time(lambda: shift_distances(audio, video))
        difference = float((found - expected).abs().max())
        print(
            f"{num} windows, {threads} thread(s): loop {loop * 1e3:.1f} ms, ours {ours * 1e3:.2f} ms, "
            f"{loop / ours:.1f} x, largest difference {difference:.1e}"
        )


if __name__ == "__main__":
    main()
