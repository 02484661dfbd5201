"""What is measured: HEF, EAC and AME in each preset, as calls whose modules are counted apart."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from conventions.rates import MEL_BINS, MFCC_COEFFICIENTS, MFCC_WINDOW, VIDEO_FPS
from experiments.graph import compose
from experiments.schema import ExperimentConfig
from lightning_modules.ame.config import STANDIN, AMEConfig
from lightning_modules.ame.emotion import EMOTION_DIM, TOKEN_DIM, EmotionCode
from lightning_modules.ame.space import build_space
from lightning_modules.ame.towers import ClipParts
from lightning_modules.eac.network import NUM_IDENTITY, ExpressionNetwork
from lightning_modules.hef.config import HEFConfig
from lightning_modules.hef.discriminator import Discriminator
from lightning_modules.hef.generator import Generator, SourceCode
from lightning_modules.standins.config import ClipPriorConfig
from lightning_modules.standins.priors.clip import ClipPrior

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


def frame_inputs(config: HEFConfig, batch: int, device: str) -> tuple[Tensor, ...]:
    """Source, its geometry, the wanted geometry, motion, emotion and token, all zero."""
    size = config.resolution
    pictures = [torch.zeros(batch, channels, size, size, device=device) for channels in (3, 4, 4, 3)]
    return (*pictures, torch.zeros(batch, EMOTION_DIM, device=device), torch.zeros(batch, TOKEN_DIM, device=device))


def hef_subject(experiment: ExperimentConfig, device: str) -> Subject:
    """HEF at batch 1: the driven frame, the portrait's features (once), and the discriminator (training only)."""
    config = experiment.hef
    with torch.device(device):
        net, judge = Generator(config).eval(), Discriminator(config).eval()
    net, judge = net.to(memory_format=torch.channels_last), judge.to(memory_format=torch.channels_last)
    image, source_geometry, *drive = frame_inputs(config, 1, device)
    geometry, _, emotion, _ = drive
    known: list[SourceCode] = []

    def driven() -> object:
        if not known:
            known.append(net.encode_source(image, source_geometry))
        return net.drive(known[0], *drive)

    driven_parts = {name: part for name, part in net.named_children() if name != "source_encoder"}
    return Subject(
        f"{config.resolution} px",
        net,
        (
            Call("drive", "a driven frame", driven, driven_parts),
            Call(
                "source",
                "a portrait, once",
                lambda: net.encode_source(image, source_geometry),
                {"source_encoder": net.source_encoder},
            ),
            Call(
                "discriminator",
                "a judged frame, in training only",
                lambda: judge(image, geometry, emotion),
                {"discriminator": judge},
            ),
        ),
    )


def eac_subject(config: ExperimentConfig, device: str) -> Subject:
    """EAC on some seconds of speech at once."""
    with torch.device(device):
        net = ExpressionNetwork(config.eac.backbone).eval()
        frames = SPEECH_SECONDS * VIDEO_FPS
        mfcc, mask = torch.zeros(1, frames, MFCC_WINDOW, MFCC_COEFFICIENTS), torch.ones(1, frames, dtype=torch.bool)
        code = EmotionCode(torch.zeros(1, EMOTION_DIM), torch.zeros(1, TOKEN_DIM), torch.zeros(1))
        identity = torch.zeros(1, NUM_IDENTITY)
    parts = {name: getattr(net, name) for name in ("sound", "condition", "backbone", "head")}
    speak = Call("speak", "a frame of speech", lambda: net(mfcc, mask, code, identity), parts, frames)
    return Subject(f"width {config.eac.backbone.width}", net, (speak,))


def ame_subject(config: ExperimentConfig, device: str) -> Subject:
    """AME once for each modality: CLIP's towers untrained, the same arithmetic as with its weights."""
    parts = clip_towers(config.ame)
    text = dataclasses.replace(config.ame.text, clip_model=STANDIN)  # on the given towers no weights are asked for
    space = build_space(dataclasses.replace(config.ame, text=text), parts).eval().to(device)
    assert space.image is not None
    size = config.data.image_size
    picture = torch.zeros(1, 3, size, size, device=device)
    mel = torch.zeros(1, SPEECH_SECONDS * 100, MEL_BINS, device=device)
    mask = torch.ones(mel.shape[:2], dtype=torch.bool, device=device)
    tower: Any = parts.model
    head = {"intensity": space.intensity}

    def read() -> object:  # not `encode_text`, which remembers what it has read
        features = tower.encode_text(parts.tokenize(["quietly happy"]).to(device))
        return space.code(F.normalize(features, dim=-1))

    text = Call("text", "an emotion in words, once", read, {"clip_text": tower.transformer, **head})
    image_parts = {"clip_image": tower.visual, "adapter": space.image.adapter, **head}
    image = Call("image", "an emotion in a picture, once", lambda: space.encode_image(picture), image_parts)
    audio_parts = {**dict(space.audio.named_children()), **head}
    label = f"an emotion in {SPEECH_SECONDS} s of speech, once"
    audio = Call("audio", label, lambda: space.encode_audio(mel, mask), audio_parts)
    return Subject(f"CLIP {config.ame.text.clip_model}", space, (text, image, audio))


def clip_towers(config: AMEConfig) -> ClipParts:
    """CLIP's towers of a configuration, untrained."""
    name = config.text.clip_model
    if name == STANDIN:
        return ClipPrior(ClipPriorConfig()).parts()
    shape: Any = open_clip.get_model_config(name)
    tokenizer, grey = open_clip.get_tokenizer(name), (0.5, 0.5, 0.5)
    size = shape["vision_cfg"]["image_size"]
    return ClipParts(open_clip.CLIP(**shape), lambda texts: tokenizer(list(texts)), grey, grey, size)


BUILDERS: Mapping[str, Callable[[ExperimentConfig, str], Subject]] = {
    "hef": hef_subject,
    "eac": eac_subject,
    "ame": ame_subject,
}


def build(module: str, preset: str, device: str) -> Subject:
    """Build a module in a preset."""
    return BUILDERS[module](preset_config(preset), device)
