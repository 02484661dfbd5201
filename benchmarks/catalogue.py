"""How long a catalogue of MEAD's size takes: a synthetic tree of empty files, 300,000 videos by default.

python -m benchmarks.catalogue [NUM_CLIPS]
"""

import resource
import sys
import tempfile
import time
from itertools import islice, product
from pathlib import Path

from conventions.emotions import EMOTIONS
from datamodules.catalogue import catalogue
from datamodules.naming.mead import VIEWS

TAKES = 30


def folders(root: Path):
    """Video folders of MEAD's layout, and the audio folder of each."""
    actors = [f"{sex}{number:03d}" for number, sex in product(range(1, 200), "MW")]
    for actor, view, emotion, level in product(actors, VIEWS, EMOTIONS, (1, 2, 3)):
        if emotion != "neutral" or level == 1:
            tail = f"{emotion}/level_{level}"
            yield root / actor / "video" / view / tail, root / actor / "audio" / tail


def write_tree(root: Path, clips: int) -> None:
    for video, audio in islice(folders(root), clips // TAKES):
        for folder, suffix in ((video, ".mp4"), (audio, ".m4a")):
            folder.mkdir(parents=True, exist_ok=True)
            for take in range(1, TAKES + 1):
                (folder / f"{take:03d}{suffix}").touch()


def main() -> None:
    clips = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder), clips)
        began = time.perf_counter()
        records, left_out, _ = catalogue(Path(folder))
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(records)} clips, {len(left_out)} left out, {seconds:.1f} s, peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
