"""Run folders with what a report shows, without the work."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.video_writer import write_video


def make_run(runs: Path, name: str, steps: int, parents: Sequence[str] = (), **given: Any) -> None:
    folder = runs / name
    labels = {"stage": name.split(".")[0].rpartition("-")[2], **given}
    folder.mkdir(parents=True)
    digest = name.rsplit(".", 1)[-1]
    (folder / "status.json").write_text(json.dumps({"state": "done", "hash": digest, "heartbeat": 0, **labels}))
    (folder / "metrics.json").write_text(json.dumps({"hash": digest, "required": ["EFD"], "metrics": {"EFD": 0.25}}))
    (folder / "config.yaml").write_text(f"eac:\n  steps: {steps}\n")
    (folder / "provenance.json").write_text(json.dumps({"parents": {run: run for run in parents}}))
    rows = [json.dumps({"step": step, "train/loss": 1 / step}) for step in range(1, 4)]
    (folder / "history.jsonl").write_text("\n".join(rows) + '\n{"step": 4, "train/l')


def write_clip(path: Path, red: bool, frames: int = 25) -> None:
    """A video that is red or blue at first and darkens."""
    pictures = np.zeros((frames, 32, 64, 3), np.uint8)
    pictures[..., 0 if red else 2] = np.linspace(255, 0, frames).astype(np.uint8)[:, None, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, pictures, crf=10)
