"""Faces and renders for the critics: batch k is a pure function of (seed, k), and some people are kept for the test."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.batches import Batch
from datamodules.endless import EndlessData, item_loader
from datamodules.sampling import generator
from face3d.coefficients import GAMMA, IDENTITY, TEXTURE
from face3d.morphable import MorphableModel
from face3d.renderer import Renderer
from lightning_modules.standins.config import JudgesConfig
from lightning_modules.standins.judges.data import PersonSampler
from lightning_modules.standins.judges.faces import CHUNK, Faces, faces_of_pairs, held_out_people, image_tensor
from metrics.backbones.judges import SIZE
from toyworld.face.head import procedural_head
from toyworld.pairs import PairSet


@dataclass(frozen=True)
class CriticBatch(Batch):
    """Photographs of some people, the renders of the same faces, and renders of any; images are uint8."""

    images: UInt8[Tensor, "b 3 64 64"]
    emotion: Int[Tensor, " b"]
    person: Int[Tensor, " b"]
    own_renders: UInt8[Tensor, "b 3 64 64"]
    renders: UInt8[Tensor, "r 3 64 64"]
    render_emotion: Int[Tensor, " r"]


def swap_people(coefficients: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The same expressions and poses on other people's faces, skins and lights."""
    others = coefficients[random.permutation(len(coefficients))]
    swapped = coefficients.copy()
    for part in (IDENTITY, TEXTURE, GAMMA):
        swapped[:, part] = others[:, part]
    return swapped


@torch.inference_mode()
def render_faces(coefficients: np.ndarray, placement: np.ndarray, model: MorphableModel) -> UInt8[Tensor, "n 3 64 64"]:
    """Images of coefficients, as L_emo's renderer draws them."""
    renderer = Renderer(model, SIZE)
    parts = []
    for first in range(0, len(coefficients), CHUNK):
        rows = slice(first, first + CHUNK)
        drawn = renderer(torch.from_numpy(coefficients[rows]), torch.from_numpy(placement[rows]))
        parts.append(((drawn.image + 1) * 127.5).round().to(torch.uint8))
    return torch.cat(parts).clone()


@dataclass(frozen=True)
class Renders:
    """Drawn faces with their emotions."""

    images: UInt8[Tensor, "n 3 64 64"]
    emotion: Int[Tensor, " n"]

    @classmethod
    def draw(cls, faces: Faces, variants: int, seed: int, model: MorphableModel) -> "Renders":
        """`variants` renders of each face's expression: on its own face first, then on other people's."""
        random = np.random.default_rng([0xC317, seed])
        sets = [faces.coefficients] + [swap_people(faces.coefficients, random) for _ in range(variants - 1)]
        images = [render_faces(coefficients, faces.placement, model) for coefficients in sets]
        return cls(torch.cat(images), torch.from_numpy(faces.emotion).repeat(variants))


class CriticsData(EndlessData):
    """Faces of the people of role "critic" and their renders; the last people are kept for the test."""

    def __init__(self, config: JudgesConfig, faces: Faces, seed: int, model: MorphableModel | None = None) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        model = model or procedural_head()
        kept = held_out_people(faces.person, config.held_out)
        self.train_faces, self.test_faces = faces.select(~kept), faces.select(kept)
        self.train_renders = Renders.draw(self.train_faces, config.critics.renders, seed, model)
        self.test_renders = Renders.draw(self.test_faces, 1, seed, model)
        self._people = PersonSampler(self.train_faces.person, config.pictures_per_person)

    @classmethod
    def load(cls, config: JudgesConfig, pairs: PairSet, seed: int) -> "CriticsData":
        """The toy world's critic images."""
        return cls(config, faces_of_pairs(pairs), seed)

    def test_dataloader(self) -> list[DataLoader]:
        """All faces of the people kept for the test and one render of each, as one `CriticBatch`."""
        return [item_loader([_critic_batch(self.test_faces, self.test_renders.images, self.test_renders)])]

    def batch(self, step: int, rank: int = 0) -> CriticBatch:
        """Batch number `step`: a pure function of (seed, step, rank)."""
        random, count = generator(self.seed, step, rank), self.config.critics.batch_size
        people = self._people.draw(random, count)
        faces, own = self.train_faces.select(people), self.train_renders.images[torch.from_numpy(people)]
        rows = torch.from_numpy(random.integers(len(self.train_renders.images), size=count))
        drawn = Renders(self.train_renders.images[rows], self.train_renders.emotion[rows])
        return _critic_batch(faces, own, drawn)


def _critic_batch(faces: Faces, own: UInt8[Tensor, "b 3 64 64"], renders: Renders) -> CriticBatch:
    return CriticBatch(
        images=image_tensor(faces.images),
        emotion=torch.from_numpy(faces.emotion),
        person=torch.from_numpy(faces.person),
        own_renders=own,
        renders=renders.images,
        render_emotion=renders.emotion,
    )
