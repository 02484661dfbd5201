"""AME, EAC and HEF of the smallest size, on untrained stand-ins, for the store of `toy_store`."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import hef_world
import torch

from datamodules.config import DataConfig
from datamodules.mead import MEADDataModule, View
from face3d.morphable import load_model
from face3d.renderer import Renderer
from lightning_modules.ame.config import AMEConfig, AudioConfig
from lightning_modules.ame.emotion import EmotionEncoder
from lightning_modules.ame.module import AMEModule
from lightning_modules.ame.towers import ClipParts
from lightning_modules.eac.config import BackboneConfig, EACConfig
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.module import HEFModule
from lightning_modules.standins.config import ClipPriorConfig, CriticsConfig, JudgesConfig
from lightning_modules.standins.judges.critics import CriticsModule
from lightning_modules.standins.priors.clip import ClipPrior
from lightning_modules.training.stage import StageModule

STEPS = 4
AME = AMEConfig(audio=AudioConfig(width=32, heads=2, layers=1), steps=STEPS, warmup=2)
EAC = EACConfig(backbone=BackboneConfig(width=32, heads=4, layers=2, past=6, future=2), steps=STEPS, warmup=2)
HEF = hef_world.tiny_config(penalty_every=2)


@functools.cache
def clip() -> ClipParts:
    torch.manual_seed(0)
    return ClipPrior(ClipPriorConfig()).parts()


@functools.cache
def encoder() -> EmotionEncoder:
    return ame().encoder


@functools.cache
def critics() -> CriticsModule:
    torch.manual_seed(0)
    return CriticsModule(JudgesConfig(critics=CriticsConfig(width=4)))


@functools.cache
def face(size: int) -> Renderer:
    return Renderer(load_model("procedural-v1"), size)


def ame() -> AMEModule:
    torch.manual_seed(0)
    return AMEModule(AME, clip())


def eac() -> EACModule:
    parents = encoder(), face(32), critics().face_emotion
    torch.manual_seed(0)
    return EACModule(EAC, *parents)


def hef() -> HEFModule:
    parents = encoder(), face(16), critics().photo_emotion, critics().photo_identity, critics().perceptual()
    torch.manual_seed(0)
    return HEFModule(HEF, *parents)


@dataclass(frozen=True)
class Setting:
    """A stage, built anew on each call, and the side of its images."""

    view: View
    make: Callable[[], StageModule]
    resolution: int

    def data(self, config: DataConfig) -> MEADDataModule:
        return MEADDataModule(config, self.view, 4, seed=1, resolution=self.resolution)


SETTINGS = [Setting("ame", ame, 32), Setting("eac", eac, 32), Setting("hef", hef, 16)]
