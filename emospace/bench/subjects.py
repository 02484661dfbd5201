"""What is measured: HEF, EAC and AME in each preset, as calls whose modules are counted apart."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from experiments.graph import compose
from experiments.schema import ExperimentConfig

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


EXPERIMENTS: Mapping[str, str] = {"toy": "toy", "small": "mead_256", "paper": "mead"}
"""Preset -> the experiment of experiments/configs that has its numbers."""

PRESETS: Mapping[str, Sequence[str]] = {
    "hef": ("toy", "small", "paper"),
    "eac": ("toy", "paper"),
    "ame": ("toy", "paper"),
}
"""Module -> the presets in which it differs."""

COUNTED_ON = {"hef": "meta", "eac": "cpu", "ame": "cpu"}
"""Where arithmetic and memory are counted: on meta tensors nothing is computed, which only HEF needs."""


def preset_config(preset: str) -> ExperimentConfig:
    """The configuration of a preset: `toy`, `small` or `paper`."""
    return compose(EXPERIMENTS[preset]).config


def build(module: str, preset: str, device: str) -> Subject:
    """Build a module in a preset; imports nothing of the other modules."""
    return importlib.import_module(f"emospace.bench.{module}").build(preset_config(preset), device)
