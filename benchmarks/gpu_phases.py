"""What `benchmarks.gpu` does in each of its phases."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.eac import OneCode
from benchmarks.talk import write_speech
from conventions.rates import MEL_BINS
from datamodules.batches import AMEBatch, EACBatch, HEFBatch
from emospace.bench.ame import towers
from emospace.bench.hef import frame_inputs
from emospace.bench.measure import gigaflop, milliseconds
from emospace.bench.subjects import preset_config
from emospace.demo import write_astronaut
from emospace.talker import FilmSettings, Talker
from emospace.talking.model_file import HEF_WEIGHTS, ModelParts, build
from emospace.talking.portrait import Frame
from experiments.samples import write_strip
from face3d.camera import default_placement
from face3d.coefficients import EXPRESSION
from face3d.morphable import PROCEDURAL, load_model
from face3d.renderer import Renderer
from lightning_modules.ame.config import STANDIN, AMEConfig
from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.ame.module import AMEModule
from lightning_modules.eac.config import EACConfig
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.config import HEFConfig
from lightning_modules.hef.generator import Generator
from lightning_modules.hef.module import HEFModule
from toyworld.actors import make_actor, render_frames
from toyworld.face.head import EXPRESSION_NAMES

ROUNDS = 10
"""Timed repeats of a call."""


@dataclass(frozen=True)
class Setting:
    """Where and how large, until when (`time.monotonic`), and what earlier phases found."""

    device: str
    tiny: bool
    out: Path
    until: float
    found: Mapping[str, Any]

    @property
    def left(self) -> float:
        """Seconds of the phase that are left."""
        return self.until - time.monotonic()

    @property
    def rounds(self) -> int:
        """Timed repeats of a call."""
        return 1 if self.tiny else ROUNDS

    def hef(self, preset: str) -> HEFConfig:
        """HEF's configuration: of the preset, or its smallest."""
        config = preset_config(preset).hef
        if not self.tiny:
            return config
        small = {"width": 4, "max_width": 8, "style_dim": 8, "discriminator_width": 4, "batch_size": 2}
        return replace(config, resolution=32 if preset == "paper" else 16, micro_batches=1, **small)


def free(device: str) -> None:
    """Memory of the phase before."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def memory_gib(device: str) -> float | None:
    """Most memory that was taken since the last `free`."""
    return round(torch.cuda.max_memory_allocated() / 2**30, 3) if device == "cuda" else None


@contextmanager
def precision(device: str, name: str) -> Iterator[None]:
    """Autocast to bf16, or float32 with TF32 as training uses it."""
    with torch.autocast(device, torch.bfloat16, enabled=name == "bf16"):
        yield


def peak(setting: Setting) -> dict[str, float]:
    """TFLOP/s of a large matrix product."""
    size, found = 256 if setting.tiny else 8192, {}
    for name, dtype in (("bf16", torch.bfloat16), ("float32", torch.float32)):
        one, other = (torch.randn(size, size, device=setting.device, dtype=dtype) for _ in range(2))
        ms = milliseconds(lambda one=one, other=other: one @ other, setting.device, repeats=setting.rounds).total
        found[f"{name}_tflops"] = 2 * size**3 / ms / 1e9
    return found


@torch.no_grad()
def frames(setting: Setting) -> dict[str, Any]:
    """Frames a second of the driven frame, the source encoded before; stops at the first batch without memory."""
    config, rows = setting.hef("paper"), []
    backend = "eager" if setting.tiny else "inductor"
    net = Generator(config).to(setting.device, memory_format=torch.channels_last).eval()
    for how, drive in (("eager", net.drive), ("compiled", torch.compile(net.drive, backend=backend, dynamic=False))):
        for name in ("bf16", "float32"):
            for batch in (1, 2) if setting.tiny else (1, 4, 16, 32):
                if setting.left > 0:
                    found = _frame(setting, config, net, drive, batch, name)
                    rows.append({"how": how, "precision": name, "batch": batch, **found})
    timed = [row for row in rows if "frames_per_second" in row]
    best = max(timed, key=lambda row: row["frames_per_second"])
    return {"resolution": config.resolution, "rows": rows, "best": best}


def _frame(
    setting: Setting, config: HEFConfig, net: Generator, drive: Callable, batch: int, name: str
) -> dict[str, Any]:
    free(setting.device)
    image, source_geometry, *rest = frame_inputs(config, batch, setting.device)
    try:
        with precision(setting.device, name):
            source = net.encode_source(image, source_geometry)
            ms = milliseconds(lambda: drive(source, *rest), setting.device, repeats=setting.rounds, seconds=15).total
    except torch.OutOfMemoryError:
        return {"error": "out of memory"}
    return {"ms": ms, "frames_per_second": 1000 * batch / ms, "memory_gib": memory_gib(setting.device)}


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
        ms = milliseconds(step, setting.device, repeats=setting.rounds, warm_up=1, seconds=15).total
        share = flop / ms / 1e3 / best if best else None
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
    """Faces of random expression, all pictures grey."""
    count, size = config.batch_size, config.resolution
    rows = torch.zeros(2, count, 257, device=device)
    rows[..., EXPRESSION] = 0.3 * torch.rand(2, count, 64, device=device)
    rows[..., 227] = 2.0  # light
    place = default_placement(count).to(device)
    grey, ones = torch.zeros(count, 3, size, size, device=device), torch.ones(count, dtype=torch.long, device=device)
    return HEFBatch(grey, grey, rows[0], rows[1], place, place, ones, ones, ones)


def hef_step(setting: Setting, config: HEFConfig) -> tuple[Callable[[], None], int]:
    """One step of generator and discriminator as `training_step` does it, without Lightning."""
    module, batch = hef_module(setting, config), hef_batch(config, setting.device)
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
    ones = torch.ones(size, dtype=torch.long, device=device)
    batch = EACBatch(
        torch.randn(size, length, 28, 13, device=device),
        torch.ones(size, length, dtype=torch.bool, device=device),
        torch.rand(size, length, 257, device=device),
        default_placement(1).to(device).expand(size, length, 3),
        torch.zeros(size, 3, 64, 64, device=device),
        torch.zeros_like(ones),
        torch.zeros(size, 4 * length, MEL_BINS, device=device),
        ones,
        ones,
        ones,
    )
    return _plain_step(module, batch, device), size


def ame_step(setting: Setting) -> tuple[Callable[[], None], int]:
    """AME on an untrained CLIP ViT-B/32: the arithmetic of the public one."""
    config = preset_config("paper").ame
    if setting.tiny:
        config = replace(config, batch_size=2, text=replace(config.text, clip_model=STANDIN), audio=AMEConfig().audio)
    device, size, side = setting.device, config.batch_size, 32 if setting.tiny else 224
    parts = towers(config)
    module = AMEModule(replace(config, text=replace(config.text, clip_model=STANDIN)), parts).to(device)
    module.log_scalars = lambda *_, **__: None  # pyright: ignore[reportAttributeAccessIssue]
    image = torch.zeros(size, 3, side, side, device=device)
    mel = torch.zeros(size, 100, MEL_BINS, device=device)
    labels = (torch.arange(size, device=device) % 8, torch.ones(size, dtype=torch.long, device=device))
    batch = AMEBatch(image, mel, torch.ones(size, 100, dtype=torch.bool, device=device), *labels, labels[0])
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


def talk(setting: Setting) -> dict[str, Any]:
    """A film of the astronaut by untrained networks: the time of a first and of a second, longer one."""
    config, device = setting.hef("paper"), setting.device
    talker = Talker(build(untrained(config), "untrained networks"), device)
    portrait, speech = write_astronaut(setting.out), setting.out / "speech.wav"
    lengths, took = (1, 2) if setting.tiny else (2, 20), []
    settings = FilmSettings(Frame(size=config.resolution))
    for seconds in lengths:
        write_speech(speech, seconds)
        began = time.perf_counter()
        talker.talk(portrait, speech, "very happy", setting.out / "talk.mp4", settings=settings)
        took.append(time.perf_counter() - began)
    speech.unlink()
    per_frame = (took[1] - took[0]) / (25 * (lengths[1] - lengths[0]))
    return {"seconds_of_speech": lengths, "wall_s": took, "frames_per_second": 1 / per_frame}


def untrained(config: HEFConfig) -> ModelParts:
    """AME of the one-hot table, EAC and HEF with initial weights."""
    text = replace(AMEConfig().text, encoding="onehot", clip_model=STANDIN)
    ame = AMEModule(AMEConfig(text=text))
    eac_config = EACConfig()
    eac_config = replace(eac_config, weights=replace(eac_config.weights, mouth=0.0, emotion=0.0))
    eac = EACModule(eac_config, ame.encoder)
    hef = HEFModule(config, ame.encoder, Renderer(load_model(PROCEDURAL), config.resolution))
    generator = {k.removeprefix(HEF_WEIGHTS): v for k, v in hef.state_dict().items() if k.startswith(HEF_WEIGHTS)}
    modules = {"ame": ame, "eac": eac, "hef": hef}
    states = {"ame": ame.state_dict(), "eac": eac.state_dict(), "hef": generator}
    return ModelParts(PROCEDURAL, {name: asdict(one.config) for name, one in modules.items()}, states)


@dataclass(frozen=True)
class Faces:
    """Rendered toy faces: pictures in [-1, 1], coefficients and places, `each` of one actor after another."""

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
        own[:, 224:226] += random.normal(0, turn, (each, 2))
        pictures.append(render_frames(actor, own, place, size))
        rows.append(own)
    images = torch.from_numpy(np.concatenate(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    placement = torch.from_numpy(np.tile(place, (actors, 1)))
    return Faces(images, torch.from_numpy(np.concatenate(rows)), placement, each)


def train(setting: Setting) -> dict[str, Any]:
    """HEF at 256 px on rendered toy faces; two strips of pictures, before and after."""
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
