"""What is measured: HEF, EAC and AME in each preset, as calls whose modules are counted apart."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from experiments.compose import experiment_sources, experiment_texts, merge
from experiments.schema import ExperimentConfig
from lightning_modules.hef.config import HEFConfig

SPEECH_SECONDS = 4
"""Length of the speech that EAC speaks and that AME listens to."""


@dataclass(frozen=True)
class Call:
    """Something that a module is asked to do, and the modules within it that are counted apart."""

    name: str
    unit: str
    """What the figures are for, such as "a driven frame"."""
    run: Callable[[], object]
    parts: Mapping[str, nn.Module]
    units: int = 1
    """How many such things one run makes; figures of arithmetic and time are divided by it."""


@dataclass(frozen=True)
class Subject:
    """One module in one preset; the first call is what its headline figures are for."""

    size: str
    network: nn.Module
    """All that is needed to use it; a discriminator is not."""
    calls: Sequence[Call]


PRESETS: Mapping[str, Mapping[str, str | HEFConfig]] = {
    "hef": {"toy": HEFConfig.toy(), "small": HEFConfig.small(), "paper": HEFConfig.paper()},
    "eac": {"toy": "toy", "paper": "mead"},
    "ame": {"toy": "toy", "paper": "mead"},
}
"""Module -> preset -> its configuration; a name is that of an experiment in experiments/configs."""

COUNTED_ON = {"hef": "meta", "eac": "cpu", "ame": "cpu"}
"""Where arithmetic and memory are counted: on meta tensors nothing is computed, which only HEF needs."""


def build(module: str, preset: str, device: str) -> Subject:
    """The module of `emospace.bench` that bears the name builds it, so that only what is asked for is imported."""
    config = PRESETS[module][preset]
    if isinstance(config, str):
        config = merge(ExperimentConfig, *experiment_sources(experiment_texts(config)[1]))
    return importlib.import_module(f"emospace.bench.{module}").build(config, device)
