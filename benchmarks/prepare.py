"""Clips a second of `emospace prepare`, where the time goes, and how much of the cores it keeps busy.

python -m benchmarks.prepare CLIPS [--clips 40] [--workers 2] [--coefficients landmarks] [--size 256] [--weights DIR]

CLIPS is a folder of real clips in any layout that `prepare` reads (MEAD's full HD is what the bound is about); they are
linked under new names until there are as many as asked for. CPU time is that of the whole process tree, workers that
have ended included; the worker's start, which imports everything once, is in the figures: take enough clips.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datamodules.catalogue import ClipRecord, catalogue


def multiply(records: list[ClipRecord], raw: Path, clips: int) -> None:
    """`clips` clips under new names, made of the records in turn."""
    raw.mkdir()
    for number, record in zip(range(clips), itertools.cycle(records), strict=False):
        for path in (record.video, record.audio, record.coefficients):
            if path is not None:
                shutil.copy(path, raw / f"clip_{number:04}{path.suffix.lower()}")


def cpu_of_children() -> float:
    """CPU seconds of this process's children that have ended, and of theirs that had ended before."""
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="CLIPS", type=Path)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--coefficients", default="auto")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    records, _, _ = catalogue(options.source)
    if not records:
        sys.exit(f"{options.source}: holds no clip")
    with tempfile.TemporaryDirectory() as name:
        multiply(records, Path(name) / "raw", options.clips)
        command = [sys.executable, "-m", "emospace.cli", "prepare", f"{name}/raw", f"{name}/store", "--json"]
        command += ["--workers", str(options.workers), "--size", str(options.size)]
        command += ["--coefficients", options.coefficients]
        command += ["--weights", str(options.weights)] if options.weights else []
        began, cpu = time.perf_counter(), cpu_of_children()
        report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        wall, cpu = time.perf_counter() - began, cpu_of_children() - cpu
    show(report, wall, cpu, options.workers)


def show(report: dict, wall: float, cpu: float, workers: int) -> None:
    print(f"{report['prepared']} clips, {report['frames']} frames, left out {report['left_out']}, {workers} workers")
    print(
        f"{report['prepared'] / wall:.2f} clips/s, {report['frames'] / wall:.0f} frames/s ({wall:.1f} s by the clock)"
    )
    stages, work = report["stage_seconds"], sum(report["stage_seconds"].values())
    for stage, seconds in sorted(stages.items(), key=lambda item: -item[1]):
        frame = 1000 * seconds / report["frames"]
        print(f"  {stage:<10} {seconds:8.1f} s  {seconds / work:5.1%}  {frame:6.2f} ms a frame")
    print(f"CPU {cpu:.1f} s: {cpu / (wall * workers):.0%} of {workers} cores busy (aim: 80 %)")


if __name__ == "__main__":
    main()
