"""Opening a store of 281,000 clips, and planning a batch of it: time and memory in each worker.

python -m benchmarks.large_store [--clips 281000]

The store has MEAD's shape (48 actors, 7 views, 22 styles) and no images: opening reads the manifest and the index, a
plan is what a batch of 16 draws before it reads a row. The reference is the same clips as one JSON record each, read
into one object each, as stores of version 1 were. Times are CPU times of fresh processes; memory is what they grow by.
"""

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from conventions.emotions import STYLES
from datamodules.clips import StoredClip
from datamodules.crop import CROP
from datamodules.manifest import FORMAT, MANIFEST, VERSION
from datamodules.packing import columns_of, index_bytes, index_name

VIEWS = ("front", "left_30", "left_60", "right_30", "right_60", "down", "top")
ACTORS = [f"{sex}{number:03}" for sex in "MW" for number in range(3, 27)]
PLANS, BATCH = 200, 16


def entries(count: int) -> list[dict]:
    """Clips as the shards of a store list them."""
    clips, each = [], -(-count // len(ACTORS))
    for actor in ACTORS:
        for number in range(min(each, count - len(clips))):
            style, view = STYLES[number % len(STYLES)], VIEWS[number // len(STYLES) % len(VIEWS)]
            clip = {"id": f"{actor}_{view}_{style.emotion}_{style.level}_{number:05}", "actor": actor, "view": view}
            clip |= {"emotion": style.emotion, "level": style.level, "kind": "basic", "number": number}
            clip |= {"source": "mead", "length": 60 + number % 90, "crop": [960.5, 540.25, 380.125]}
            clips.append(clip | dict.fromkeys(("has_audio", "has_coefficients", "has_landmarks"), True))
    return clips


def write(folder: Path, clips: list[dict]) -> None:
    """A store that can be opened, and the same clips as records in JSON."""
    index = index_bytes(columns_of(clips))
    manifest = {"format": FORMAT, "version": VERSION, "hash": "5" * 64, "size": 256, "crop": CROP, "shards": {}}
    for actor in ACTORS:
        lengths = [clip["length"] for clip in clips if clip["actor"] == actor]
        manifest["shards"][actor] = {"hash": "5" * 64, "clips": len(lengths), "frames": sum(lengths), "exact": False}
    manifest |= {"clips": len(clips), "frames": sum(clip["length"] for clip in clips)}
    manifest |= {"coefficient_model": "bfm09", "index": index_name(index), "report": "report.json"}
    (folder / manifest["index"]).write_bytes(index)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    starts = np.cumsum([0, *(clip["length"] for clip in clips)]).tolist()
    records = [clip | {"start": start} for clip, start in zip(clips, starts, strict=False)]
    (folder / "records.json").write_text(json.dumps(records, indent=1))


def resident_mb() -> float:
    """Memory of this process that is its own (not of mapped files), in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def child(what: str, folder: Path) -> dict[str, float]:
    """One measurement, in this process."""
    import datamodules.mead  # noqa: F401  what every worker has imported

    before, began = resident_mb(), time.process_time()
    if what == "records":
        clips = [StoredClip(**value) for value in json.loads((folder / "records.json").read_text())]
        return {"s": time.process_time() - began, "mb": resident_mb() - before, "clips": len(clips)}
    from datamodules.config import DataConfig
    from datamodules.mead import MEADDataModule

    if what == "open":
        from datamodules.store import Store

        clips = Store(folder).clips
        return {"s": time.process_time() - began, "mb": resident_mb() - before, "clips": len(clips)}
    module = MEADDataModule(DataConfig(str(folder), "all_train", views=list(VIEWS)), what, BATCH)
    maker = pickle.loads(pickle.dumps(module.batch_maker()))
    made, grown, taken = time.process_time() - began, resident_mb() - before, []
    for step in range(PLANS):
        start = time.process_time()
        maker.sampler.draw(maker._random(step), BATCH)
        taken.append(1000 * (time.process_time() - start))
    return {"s": made, "mb": grown, "plan_ms": float(np.median(taken)), "slowest_ms": max(taken)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=281_000)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child[0], Path(options.child[1]))))
        return
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), entries(options.clips))
        print(f"{options.clips} clips, index {next(Path(name).glob('clips.*')).stat().st_size / 1e6:.1f} MB")
        titles = {"records": "reference: JSON records", "open": "open the store"}
        titles |= {view: f"{view}: open, sort, hand to a worker" for view in ("ame", "eac", "hef")}
        for what, title in titles.items():
            command = [sys.executable, "-m", "benchmarks.large_store", "--child", what, name]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            plan = (
                f", a plan {found['plan_ms']:.2f} ms ({found['slowest_ms']:.2f} at most)" if "plan_ms" in found else ""
            )
            print(f"{title:<36} {found['s']:6.2f} s, {found['mb']:5.0f} MB{plan}", flush=True)


if __name__ == "__main__":
    main()
