"""Run folders of a toy experiment as the engine leaves them, for dashboards, without the work."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from datamodules.video_writer import write_video
from experiments.csvfiles import write_csv
from experiments.graph import StageRun, compose, plan
from experiments.runner import Measured, write_metrics


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
