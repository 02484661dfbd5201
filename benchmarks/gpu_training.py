"""Training on a GPU, as `benchmarks.gpu` measures it: steps of each module, and HEF on rendered toy faces."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.eac import OneCode, batch_of
from benchmarks.gpu_phases import Setting, free, memory_gib, precision
from conventions.rates import MEL_BINS
from datamodules.batches import AMEBatch, HEFBatch
from emospace.bench.measure import gigaflop, milliseconds
from emospace.bench.subjects import clip_towers, preset_config
from experiments.samples import write_strip
from face3d.camera import default_placement
from face3d.coefficients import ANGLE, EXPRESSION, GAMMA
from face3d.morphable import PROCEDURAL, load_model
from face3d.renderer import Renderer
from lightning_modules.ame.config import STANDIN, AMEConfig
from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.ame.module import AMEModule
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.config import HEFConfig
from lightning_modules.hef.module import HEFModule
from toyworld.actors import make_actor, render_frames
from toyworld.face.head import EXPRESSION_NAMES


def steps(setting: Setting) -> dict[str, Any]:
    """Steps a second in bf16 and their share of the measured peak, forward and backward and the optimisers' steps."""
    made = {
        "hef_512": lambda: hef_step(setting, setting.hef("paper")),
        "hef_256": lambda: hef_step(setting, setting.hef("small")),
        "eac": lambda: eac_step(setting),
        "ame": lambda: ame_step(setting),
    }
    best, found = setting.found.get("peak", {}).get("bf16_tflops"), {}
    for name, make in made.items():
        if setting.left < 0:
            found[name] = {"error": "no time left"}
            continue
        free(setting.device)
        step, batch = make()
        flop = gigaflop(step).total
        ms = milliseconds(step, setting.device, repeats=setting.rounds, warm_up=1, seconds=15.0).total
        share = flop / ms / best if best else None
        found[name] = {"batch": batch, "ms": ms, "steps_per_second": 1000 / ms, "gflop": flop, "share_of_peak": share,
                       "memory_gib": memory_gib(setting.device)}  # fmt: skip
    return found


class DeviceCode(OneCode):
    """Any text is one emotion, on the device."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device

    def encode_text(self, texts) -> EmotionCode:
        return super().encode_text(texts).to(self.device)


def hef_module(setting: Setting, config: HEFConfig) -> HEFModule:
    """HEF with random perceptual features and no critics."""
    renderer = Renderer(load_model(PROCEDURAL), config.resolution)
    return HEFModule(config, DeviceCode(setting.device), renderer).to(setting.device)


def hef_batch(config: HEFConfig, device: str) -> HEFBatch:
    """Faces of random expression, all images grey."""
    count, size = config.batch_size, config.resolution
    rows = torch.zeros(2, count, 257, device=device)
    rows[..., EXPRESSION] = 0.3 * torch.rand(2, count, 64, device=device)
    rows[..., GAMMA.start] = 2.0
    place = default_placement(count).to(device)
    grey, ones = torch.zeros(count, 3, size, size, device=device), torch.ones(count, dtype=torch.long, device=device)
    return HEFBatch(grey, grey, rows[0], rows[1], place, place, ones, ones, ones)


def hef_step(setting: Setting, config: HEFConfig) -> tuple[Callable[[], None], int]:
    """One step of generator and discriminator as `training_step` does it, without Lightning."""
    module, batch = hef_module(setting, config), hef_batch(config, setting.device)
    module.current_batch = 1  # not a batch with gradient penalty, whose FLOP torch does not count
    train = HEFTraining(module, setting.device)
    return lambda: train(batch), config.batch_size


class HEFTraining:
    """HEF's training step in a plain loop, bf16."""

    def __init__(self, module: HEFModule, device: str) -> None:
        self.module, self.device = module, device
        self.optimizers = module.configure_optimizers()

    def __call__(self, batch: HEFBatch) -> float:
        """One batch; the generator's loss."""
        module, (generator, discriminator) = self.module, self.optimizers
        parts, total = module.parts(batch), 0.0
        made = []
        generator.zero_grad()
        for part in parts:
            with precision(self.device, "bf16"):
                loss, image, _ = module.generator_loss(part)
            (loss / len(parts)).backward()
            made.append(image.detach())
            total = loss.detach()
        torch.nn.utils.clip_grad_norm_(module.generator.parameters(), module.config.generator_clip)
        generator.step()
        discriminator.zero_grad()
        for part, image in zip(parts, made, strict=True):
            with precision(self.device, "bf16"):
                loss, _ = module.discriminator_loss(part, image)
            (loss / len(parts)).backward()
        discriminator.step()
        module.average.update(module.generator, module.current_batch)
        module.current_batch += 1
        return total


def eac_step(setting: Setting) -> tuple[Callable[[], None], int]:
    """EAC without L_emo, which is the renderer's time."""
    config = preset_config("paper").eac
    if setting.tiny:
        config = replace(config, batch_size=2, backbone=replace(config.backbone, width=16, heads=2, layers=1))
    config = replace(config, weights=replace(config.weights, emotion=0.0))
    device, size, length = setting.device, config.batch_size, 10 if setting.tiny else 75
    module = EACModule(config, DeviceCode(device), Renderer(load_model(PROCEDURAL), 64)).to(device)
    module.log_scalars = lambda *_, **__: None  # pyright: ignore[reportAttributeAccessIssue]
    return _plain_step(module, batch_of(size, length).to(device), device), size


def ame_step(setting: Setting) -> tuple[Callable[[], None], int]:
    """AME on an untrained CLIP ViT-B/32: the arithmetic of the public one."""
    config = preset_config("paper").ame
    if setting.tiny:
        config = replace(config, batch_size=2, text=replace(config.text, clip_model=STANDIN), audio=AMEConfig().audio)
    device, size, side = setting.device, config.batch_size, 32 if setting.tiny else 224
    parts = clip_towers(config)
    module = AMEModule(replace(config, text=replace(config.text, clip_model=STANDIN)), parts).to(device)
    module.log_scalars = lambda *_, **__: None  # pyright: ignore[reportAttributeAccessIssue]
    image = torch.zeros(size, 3, side, side, device=device)
    voice = torch.zeros(size, 100, MEL_BINS, device=device)
    rows, ones = torch.arange(size, device=device), torch.ones(size, dtype=torch.long, device=device)
    batch = AMEBatch(
        image=image,
        voice=voice,
        voice_mask=torch.ones(size, 100, dtype=torch.bool, device=device),
        emotion=rows % 8,
        level=ones,
        style=rows % 8,
        image_rows=rows,
        voice_rows=rows,
    )
    return _plain_step(module, batch, device), size


def _plain_step(module: Any, batch: Any, device: str) -> Callable[[], None]:
    optimizer = module.configure_optimizers()["optimizer"]

    def step() -> None:
        optimizer.zero_grad()
        with precision(device, "bf16"):
            loss = module.training_step(batch, 0)
        loss.backward()
        optimizer.step()

    return step


@dataclass(frozen=True)
class Faces:
    """Rendered toy faces: images in [-1, 1], coefficients and places, `each` of one actor after another."""

    pictures: Tensor
    coefficients: Tensor
    placement: Tensor
    each: int

    def pairs(self, count: int, random: np.random.Generator) -> HEFBatch:
        """Random pairs of one actor each."""
        actors = random.integers(len(self.pictures) // self.each, size=count) * self.each
        source, target = (torch.from_numpy(actors + random.integers(self.each, size=count)) for _ in range(2))
        ones = torch.ones(count, dtype=torch.long)
        two = (source, target)
        return HEFBatch(
            *(self.pictures[rows] for rows in two),
            *(self.coefficients[rows] for rows in two),
            *(self.placement[rows] for rows in two),
            ones,
            ones,
            ones,
        )


def toy_faces(size: int, actors: int, each: int, turn: float = 0.2) -> Faces:
    """Faces of toy actors with random mouths, turned by angles of deviation `turn` (rad)."""
    random, pictures, rows = np.random.default_rng(0), [], []
    moving = [
        EXPRESSION_NAMES.index(name) for name in ("jaw_open", "lip_corner_puller_left", "lip_corner_puller_right")
    ]
    place = np.tile(np.array([0.7, 0, 0.02], np.float32), (each, 1))
    for index in range(actors):
        actor = make_actor(f"M{index + 1:03d}", 0)
        own = np.tile(actor.coefficients, (each, 1)).astype(np.float32)
        expression = np.zeros((each, 64), np.float32)
        expression[:, moving] = random.random((each, len(moving)))
        own[:, EXPRESSION] = expression
        own[:, ANGLE.start : ANGLE.start + 2] += random.normal(0, turn, (each, 2))
        pictures.append(render_frames(actor, own, place, size))
        rows.append(own)
    images = torch.from_numpy(np.concatenate(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    placement = torch.from_numpy(np.tile(place, (actors, 1)))
    return Faces(images, torch.from_numpy(np.concatenate(rows)), placement, each)


def train(setting: Setting) -> dict[str, Any]:
    """HEF at 256 px on rendered toy faces; two strips of images, before and after."""
    config, device = setting.hef("small"), setting.device
    config = replace(config, batch_size=2 if setting.tiny else 16, warmup_steps=100)
    faces, random = toy_faces(config.resolution, *((2, 3) if setting.tiny else (8, 12))), np.random.default_rng(1)
    module, shown = hef_module(setting, config), faces.pairs(4, random).to(device)
    loop, losses = HEFTraining(module, device), []
    before = _psnr(module, shown)
    write_strip(setting.out, "before", {k: v.cpu() for k, v in module.samples(shown).items()})
    began, most = time.monotonic(), 3 if setting.tiny else 100_000
    while setting.left > 5 and len(losses) < most:
        losses.append(loop(faces.pairs(config.batch_size, random).to(device)))
    values = torch.stack(losses).tolist()
    write_strip(setting.out, "after", {k: v.cpu() for k, v in module.samples(shown).items()})
    speed = len(losses) / (time.monotonic() - began)
    tenth = max(1, len(values) // 10)
    ends = {"loss_first": median(values[:tenth]), "loss_last": median(values[-tenth:])}
    psnr = {"psnr_before": before, "psnr_after": _psnr(module, shown)}
    return {"steps": len(losses), "steps_per_second": speed, **ends, **psnr, "memory_gib": memory_gib(device)}


def _psnr(module: HEFModule, batch: HEFBatch) -> float:
    return float(module.evaluate_batch(batch, 0, "test")["PSNR"].mean())
