"""Run folders as the engine leaves them, without the work: for tables, dashboards and reports; a quick experiment."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from datamodules.manifest import VERSION
from datamodules.video_writer import write_video
from experiments.graph import StageRun, compose, plan
from experiments.run_content import write_csv
from experiments.runner import Measured, write_metrics

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


def planned_runs() -> list[StageRun]:
    """The stages of the toy experiment."""
    return plan(compose("toy"), lambda path: "5" * 64)


def write_runs(planned: Sequence[StageRun], runs: Path) -> None:
    """A finished evaluation, whose parents' folders are not here, a finished EAC and a failed HEF."""
    for run in planned:
        if run.stage not in ("eac", "hef", "evaluate"):
            continue
        folder = run.folder(runs)
        write_metrics(run, folder, Measured({"EFD": 0.5, "LMD": 2.0} if run.stage == "evaluate" else {}))
        folder.write_text("config.yaml", OmegaConf.to_yaml(OmegaConf.structured(run.config)))
        folder.write("provenance.json", {"parents": {role: parent.id for role, parent in run.parents.items()}})
        if run.stage == "eac":
            folder.history.write_text('{"step": 10, "time": 1.0, "train/loss": 0.5}\n')
        state = "failed" if run.stage == "hef" else "done"
        folder.set_status(state, hash=run.hash, stage=run.stage, variant=run.variant, seed=run.seed)


def write_samples(run: StageRun, runs: Path) -> None:
    """A video, its strip and the table of clips of an evaluation."""
    folder = run.folder(runs)
    folder.samples.mkdir(parents=True)
    write_video(folder.samples / "clip.mp4", np.zeros((3, 16, 16, 3), np.uint8))
    Image.new("RGB", (16, 16)).save(folder.samples / "clip.png")
    write_csv(folder.path / "per_clip.csv", [{"id": "clip", "EFD": 0.5}])


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


TINY = """
data: {store: store}
prior: {gpt2: {steps: 20}}
trainer: {accelerator: cpu}
"""
MANIFEST = json.dumps(
    {"format": "emospace-store", "version": VERSION, "hash": "5" * 64}
    | {"coefficient_model": None, "clips": 0, "frames": 0}
)


def write_tiny(folder: Path, experiment: str = TINY) -> None:
    """`tiny.yaml` and the store that it names."""
    (folder / "tiny.yaml").write_text(experiment)
    (folder / "store").mkdir()
    (folder / "store" / "manifest.json").write_text(MANIFEST)
