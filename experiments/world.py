"""The data an experiment stands on: writes the toy world where its pictures are needed, prepares its store once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from datamodules.prepare import prepare
from datamodules.splits import Split
from datamodules.store import Store
from experiments.graph import STAGES, Experiment
from experiments.progress import Progress
from experiments.schema import ExperimentConfig
from toyworld.world import write_world

STORE_SIZE = 128
"""Least side of the crops in a toy store, in pixels."""


def ready_store(experiment: Experiment, workers: int = 2) -> Mapping[str, Any]:
    """Make what is missing of the experiment's data; the store's description, with its `hash`, for `execute`."""
    config = experiment.config
    if _needs_world(experiment):
        _ready_world(config, workers)
    if not config.data.store:
        raise UserError("data.store: is not set; give the folder that `emospace prepare` wrote")
    path = Path(config.data.store)
    if config.world.fills_store:
        size = max(STORE_SIZE, config.data.image_size, config.hef.resolution)
        _ready_world(config, workers)
        root, tell = Path(config.world.root), _told("store")
        prepare(
            root,
            path,
            coefficients="mat",
            size=size,
            workers=workers,
            look=False,
            progress=lambda done, total, _: tell(done, total),
        )
    store = Store(path)
    Split.load(config.data.split)
    return {"path": str(path), "hash": store.hash, "clips": len(store.clips), "frames": store.num_frames}


def _needs_world(experiment: Experiment) -> bool:
    """Whether a stage on the way to the target is trained on the toy world's pictures."""
    from experiments.graph import plan

    return any("world" in STAGES[run.stage].sections(run.config) for run in plan(experiment, ""))


def _ready_world(config: ExperimentConfig, workers: int) -> None:
    world = config.world
    progress = _told("toy world")
    write_world(
        Path(world.root),
        seed=world.seed,
        preset=world.preset,
        workers=workers,
        progress=progress,
    )


def _told(title: str) -> Any:
    line = Progress(title, 0)

    def tell(done: int, total: int) -> None:
        if done == total and line.total == 0:
            return
        if line.total == 0:
            line.total = total
            line.start(done)
        line.advance(done)

    return tell
