"""Tiny networks with random weights, as a model file holds them."""

import dataclasses

import hef_world as world
import torch

from emospace.talking.model_file import HEF_WEIGHTS, ModelParts
from face3d.morphable import load_model
from face3d.renderer import Renderer
from lightning_modules.ame.config import AMEConfig, AudioConfig, TextConfig
from lightning_modules.ame.module import AMEModule
from lightning_modules.eac.config import BackboneConfig, EACConfig, EACWeights
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.module import HEFModule

AME = AMEConfig(text=TextConfig(encoding="onehot", clip_model="standin"), audio=AudioConfig(width=16, layers=1))
EAC = EACConfig(backbone=BackboneConfig(width=16, heads=2, layers=1), weights=EACWeights(mouth=0.0, emotion=0.0))

Modules = tuple[AMEModule, EACModule, HEFModule]


def tiny_modules() -> Modules:
    torch.manual_seed(0)
    ame = AMEModule(AME)
    renderer = Renderer(load_model("procedural-v1"), 16)
    hef = HEFModule(world.tiny_config(), ame.encoder, renderer)
    for module in (ame, hef):
        module.eval()
    return ame, EACModule(EAC, ame.encoder).eval(), hef


def parts_of(modules: Modules) -> ModelParts:
    ame, eac, hef = modules
    generator = {k.removeprefix(HEF_WEIGHTS): v for k, v in hef.state_dict().items() if k.startswith(HEF_WEIGHTS)}
    return ModelParts(
        face_model="procedural-v1",
        configs={name: dataclasses.asdict(m.config) for name, m in zip(("ame", "eac", "hef"), modules, strict=True)},
        states={"ame": ame.state_dict(), "eac": eac.state_dict(), "hef": generator},
        card={"data": {"hash": "abc"}, "stand_ins": ["trained on nothing"]},
    )
