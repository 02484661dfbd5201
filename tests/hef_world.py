"""A world small enough for tests of HEF: a sphere with 68 landmarks that moves, drawn by the real renderer."""

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import IterableDataset

from conventions.emotions import EMOTIONS, STYLES
from datamodules.batches import HEFBatch
from face3d.coefficients import ANGLE, EXPRESSION, GAMMA, NUM_COEFFICIENTS, TRANSLATION
from face3d.morphable import MorphableModel
from face3d.renderer import Renderer
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.hef.config import HEFConfig
from lightning_modules.training.stage import batch_entropy


def batch_generator(seed: int, batch: int, rank: int = 0) -> torch.Generator:
    """A generator of its own for batch number `batch`."""
    words = batch_entropy(seed, batch, rank)
    return torch.Generator().manual_seed(words[2] << 31 | words[3] >> 1)


class HashEncoder(EmotionEncoder):
    """Each text has a fixed random code."""

    modalities = ("text",)

    def encode_text(self, texts: Sequence[str]) -> EmotionCode:
        seeds = [sum(i * ord(c) for i, c in enumerate(text, 1)) for text in texts]
        rows = torch.stack([torch.randn(577, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        return EmotionCode(F.normalize(rows[:, :512], dim=1), rows[:, 512:576], rows[:, 576].abs())


def ball(rows: int = 12, columns: int = 20) -> MorphableModel:
    """A textured sphere of radius 0.9 dm whose expression axes push it about."""
    generator = torch.Generator().manual_seed(0)
    latitude = torch.linspace(-1.5, 1.5, rows)[:, None].expand(rows, columns)
    longitude = (torch.arange(columns) * (2 * math.pi / columns))[None].expand(rows, columns)
    x, z = latitude.cos() * longitude.sin(), latitude.cos() * longitude.cos()
    shape = 0.9 * torch.stack([x, latitude.sin(), z], dim=-1).reshape(-1, 3)
    index = torch.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1], index[:-1].roll(-1, 1), index[1:], index[1:].roll(-1, 1)
    triangles = torch.cat([torch.stack([a, b, d], -1), torch.stack([a, d, c], -1)]).reshape(-1, 3)
    front = shape[:, 2].argsort(descending=True)[:68]
    return MorphableModel(
        name="ball",
        mean_shape=shape,
        identity_basis=0.02 * torch.randn(80, len(shape), 3, generator=generator),
        expression_basis=0.1 * torch.randn(64, 1, 3, generator=generator).expand(64, len(shape), 3),
        mean_texture=torch.rand(len(shape), 3, generator=generator),
        texture_basis=torch.zeros(80, len(shape), 3),
        triangles=triangles,
        keypoints=front,
    )


def tiny_config(**changes: object) -> HEFConfig:
    """The smallest HEF: 16 px, 8 channels."""
    small = {"resolution": 16, "width": 8, "max_width": 16, "style_dim": 16, "discriminator_width": 8}
    return HEFConfig(**{**small, "batch_size": 2, "steps": 4, "warmup_steps": 4, **changes})  # type: ignore[arg-type]


def renderer(size: int = 16) -> Renderer:
    return Renderer(ball(), size)


def faces(count: int, generator: torch.Generator) -> tuple[Float[Tensor, "b 257"], Float[Tensor, "b 3"]]:
    """Random poses and expressions, evenly lit."""
    coefficients = torch.zeros(count, NUM_COEFFICIENTS)
    coefficients[:, EXPRESSION] = torch.randn(count, 64, generator=generator)
    coefficients[:, ANGLE] = 0.2 * torch.randn(count, 3, generator=generator)
    coefficients[:, TRANSLATION] = 0.1 * torch.randn(count, 3, generator=generator)
    coefficients[:, GAMMA] = 0.0
    return coefficients, torch.tensor([[1 / 1.3, 0.0, 0.0]]).repeat(count, 1)


def make_batch(draw: Renderer, count: int, generator: torch.Generator) -> HEFBatch:
    """Frames that are the renders themselves."""
    (source, source_placement), (target, target_placement) = faces(count, generator), faces(count, generator)
    style = torch.randint(len(STYLES), (count,), generator=generator)
    return HEFBatch(
        draw(source, source_placement).image,
        draw(target, target_placement).image,
        source,
        target,
        source_placement,
        target_placement,
        torch.tensor([EMOTIONS.index(STYLES[i].emotion) for i in style.tolist()]),
        torch.tensor([STYLES[i].level for i in style.tolist()]),
        style,
    )


class Pairs(IterableDataset[HEFBatch]):
    """Endless batches; number k depends on k and the process's rank alone."""

    def __init__(self, size: int = 16, count: int = 2, start: int = 0) -> None:
        self.draw, self.count, self.start = renderer(size), count, start

    def __iter__(self) -> Iterator[HEFBatch]:
        k = self.start
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        while True:
            yield make_batch(self.draw, self.count, batch_generator(7, k, rank))
            k += 1
