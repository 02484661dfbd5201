"""HEF as `emospace bench` measures it."""

import torch
from torch import Tensor

from emospace.bench.subjects import Call, Subject
from experiments.schema import ExperimentConfig
from lightning_modules.ame.emotion import EMOTION_DIM, TOKEN_DIM
from lightning_modules.hef.config import HEFConfig
from lightning_modules.hef.discriminator import Discriminator
from lightning_modules.hef.generator import Generator, SourceCode


def frame_inputs(config: HEFConfig, batch: int, device: str) -> tuple[Tensor, ...]:
    """Source, its geometry, the wanted geometry, motion, emotion and token, all zero."""
    size = config.resolution
    pictures = [torch.zeros(batch, channels, size, size, device=device) for channels in (3, 4, 4, 3)]
    return (
        *pictures,
        torch.zeros(batch, EMOTION_DIM, device=device),
        torch.zeros(batch, TOKEN_DIM, device=device),
    )


def build(experiment: ExperimentConfig, device: str) -> Subject:
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
