"""The data that an experiment reads: writes the toy world where its images are needed, prepares its store once."""

from collections.abc import Callable
from pathlib import Path

from conventions.errors import UserError
from datamodules.manifest import MANIFEST
from datamodules.prepare import prepare
from experiments.graph import STAGES, Experiment
from experiments.progress import Progress
from experiments.schema import ExperimentConfig
from experiments.stage import Stage
from toyworld.world import OtherContent, write_world

STORE_SIZE = 128
"""Least side of the crops in a toy store, in pixels."""


def ready_data(experiment: Experiment, workers: int = 2) -> None:
    """Make what is missing of the toy world and of the store that it fills; UserError where a store is not there."""
    config, fills = experiment.config, _filled_stores(experiment)
    if fills or any("world" in stage.sections(config) for stage in _needed(experiment)):
        _ready_world(config, workers)
    for store in fills:
        _fill(config, Path(store), workers)


def missing_data(experiment: Experiment) -> bool:
    """Whether the toy world still has to fill a store; UserError where a store that it does not fill is not there."""
    return any(not (Path(store) / MANIFEST).exists() for store in _filled_stores(experiment))


def _filled_stores(experiment: Experiment) -> list[str]:
    """The stores that the toy world fills; UserError where another one is not there."""
    config = experiment.config
    stores = {store for stage in _needed(experiment) if (store := stage.store(config))}
    fills = {store for store in stores if config.world.fills_store and store == experiment.own_store}
    for store in sorted(stores - fills):
        if not Path(store).is_dir():
            raise UserError(f"data.store: {store}: no such folder; `emospace prepare RAW {store}` makes a store")
    return sorted(fills)


def _needed(experiment: Experiment) -> list[Stage]:
    """The stages on the way to the target, without their identities, which need the store."""
    found: dict[str, Stage] = {}

    def visit(name: str, config: ExperimentConfig) -> None:
        if name not in found:
            found[name] = STAGES[name]
            for parent, parent_config in STAGES[name].parents(config).values():
                visit(parent, parent_config)

    visit(experiment.target, experiment.config)
    return list(found.values())


def _fill(config: ExperimentConfig, store: Path, workers: int) -> None:
    size = max(STORE_SIZE, config.data.image_size, config.hef.resolution)
    show = _progress("store")
    prepare(
        Path(config.world.root),
        store,
        coefficients="mat",
        size=size,
        workers=workers,
        look=False,
        progress=lambda done: show(done.clips, done.total),
    )


def _ready_world(config: ExperimentConfig, workers: int) -> None:
    world = config.world
    progress = _progress("toy world")
    try:
        write_world(Path(world.root), seed=world.seed, preset=world.preset, workers=workers, progress=progress)
    except OtherContent as error:
        raise UserError(f"world.root: {error}") from error


def _progress(title: str) -> Callable[[int, int], None]:
    line = Progress(title, 0)

    def show(done: int, total: int) -> None:
        if done == total and line.total == 0:
            return
        if line.total == 0:
            line.total = total
            line.start(done)
        line.advance(done)

    return show
