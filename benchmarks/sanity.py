"""The metrics on real clips: each against itself, blurred, shifted, another speaker, the same one in another emotion.

python benchmarks/sanity.py DATA --weights WEIGHTS [--frames 16] [--clips 4]

DATA holds `talking/` (one speaker a clip) and `mead_styles/` (one actor, one emotion a clip), all of one frame size.
Prints a Markdown table of means over clips, and what each metric says against the clip itself; exit 1 where a metric
that is perfect for the clip itself is not worse for an altered one, or does not fall with the strength of the change.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from datamodules.audio import read_audio
from datamodules.video import read_video
from emospace.scoring.networks import published_suite
from metrics.protocol import HIGHER_IS_BETTER, METRIC_NAMES, PROTOCOL

BLURS = (1, 2, 4)
SHIFTS = (1, 2, 4)
PERFECT = ("EFD", "LMD", "LMD_face", "CSIM", "FID", "PSNR", "SSIM", "LPIPS")
"""Metrics that compare with the true frame alone, so that nothing can be better than the clip itself."""

Row = dict[str, float]


def read(path: Path, frames: int) -> tuple[Tensor, Tensor]:
    """Frames (with those that the largest shift needs) as uint8 [t, 3, h, w], and the sound beside the video."""
    pictures = torch.from_numpy(read_video(path, frames + max(SHIFTS))).permute(0, 3, 1, 2)
    sound = path.with_suffix(".wav")
    return pictures, torch.from_numpy(read_audio(sound)) if sound.is_file() else torch.zeros(0)


def changes(group: str, clip: Tensor, other: Tensor, frames: int) -> Iterator[tuple[str, Tensor]]:
    """Names and frames of everything a clip is compared with."""
    yield "itself", clip[:frames]
    for sigma in BLURS:
        yield f"blurred, sigma in px: {sigma}", gaussian_blur(clip[:frames], [6 * sigma + 1] * 2, [float(sigma)] * 2)
    for shift in SHIFTS:
        yield f"early, frames: {shift}", clip[shift : shift + frames]
    yield {"talking": "another speaker", "mead_styles": "another emotion"}[group], other[:frames]


def measure(data: Path, weights: Path | None, frames: int, clips: int) -> tuple[dict[str, Row], dict[str, list[Row]]]:
    """Means and clips' rows by change."""
    suite, missing = published_suite(weights, torch.device("cpu"))
    print(f"without a network: {', '.join(missing) or 'none'}", file=sys.stderr)
    suites, rows = {}, {}
    for group in ("talking", "mead_styles"):
        paths = sorted((data / group).glob("*.mp4"))[:clips]
        for index, path in enumerate(paths):
            (clip, sound), (other, _) = read(path, frames), read(paths[(index + 1) % len(paths)], frames)
            for name, made in changes(group, clip, other, frames):
                one = suites.setdefault(name, suite.fresh())
                row = one.score_clip(made, clip[:frames], sound[: frames * 640], clip[:1])
                rows.setdefault(name, []).append(row)
            print(f"{path.name} done", file=sys.stderr)
    return {name: one.aggregate(rows[name]) for name, one in suites.items()}, rows


def wrong_ways(means: dict[str, Row]) -> list[str]:
    """Every change that a metric does not call worse than the clip itself, or than a weaker change of its kind."""
    found = []
    weaker = {f"blurred, sigma in px: {b}": f"blurred, sigma in px: {a}" for a, b in pairwise(BLURS)}
    weaker |= {f"early, frames: {b}": f"early, frames: {a}" for a, b in pairwise(SHIFTS)}
    for name in list(means)[1:]:
        before = weaker.get(name, "itself")
        for metric in PERFECT:
            rise = means[name][metric] - means[before][metric]
            if rise == rise and (rise >= 0 if HIGHER_IS_BETTER[metric] else rise <= 0):
                found.append(f"{metric}: {name} is not worse than {before}")
    return found


def table(means: dict[str, Row], rows: dict[str, list[Row]]) -> str:
    """Means over clips."""
    shown = [name for name in METRIC_NAMES if any(row[name] == row[name] for row in means.values())]
    lines = [f"| {PROTOCOL} | clips | {' | '.join(shown)} |", f"|{' --- |' * (len(shown) + 2)}"]
    for name, row in means.items():
        cells = [f"{row[metric]:.3f}" for metric in shown]
        lines.append(f"| {name} | {len(rows[name])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--clips", type=int, default=4, help="of each folder; at least 2")
    options = parser.parse_args()
    torch.set_num_threads(1)
    means, rows = measure(options.data, options.weights, options.frames, options.clips)
    print(table(means, rows))
    wrong = wrong_ways(means)
    print("\n".join(wrong) or "Every metric moves the right way.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
