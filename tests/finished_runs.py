"""Evaluations as the engine leaves them, without the work."""

from pathlib import Path

import numpy as np

from experiments.csvfiles import write_csv
from experiments.stage import StageRun

CLIPS = [f"c{i}" for i in range(30)]
BASE = {"EFD": 0.1, "LMD": 2.0, "Sync": 3.0}


def finish(run: StageRun, runs: Path, shift: float) -> None:
    """A run folder as the engine leaves it, with values that lie `shift` above the full model's."""
    folder = run.folder(runs)
    noise = np.random.default_rng(run.seed)
    rows = [{"id": clip, **{m: v + shift + float(noise.normal(0, 0.01)) for m, v in BASE.items()}} for clip in CLIPS]
    metrics = {name: float(np.mean([row[name] for row in rows])) for name in BASE}
    write_csv(folder.path / "per_clip.csv", rows)
    facts = {
        "hash": run.hash,
        "required": list(metrics),
        "stand_ins": ["EFD"],
        "refused": [],
        "backbones": {"emotion": "judge"},
    }
    folder.write("metrics.json", {**facts, "metrics": metrics})
    origin = {"started": "2026-01-02T03:04:05Z", "git": {"commit": "abc"}}
    folder.write("provenance.json", {**origin, "packages": {"torch": "2"}, "store": {"hash": "5" * 64}})
    folder.set_status("done", hash=run.hash)
