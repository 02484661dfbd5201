"""CriticsModule: the small networks inside the losses of EAC (renders beside photographs) and HEF (photographs)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from datamodules.batches import Batch
from datamodules.endless import EndlessData, item_loader
from datamodules.sampling import generator
from face3d.coefficients import GAMMA, IDENTITY, TEXTURE
from face3d.morphable import MorphableModel
from face3d.renderer import Renderer
from lightning_modules.standins.config import JudgesConfig
from lightning_modules.standins.judges import losses
from lightning_modules.standins.judges.data import (
    CHUNK,
    Faces,
    PersonSampler,
    faces_of_pairs,
    held_out_people,
    image_tensor,
)
from lightning_modules.standins.judges.module import same_person_auc
from lightning_modules.training.configs import as_config
from lightning_modules.training.optimisers import Schedule, adamw_with_cosine
from lightning_modules.training.parents import Recipe
from lightning_modules.training.stage import Phase, Rows, StageModule
from metrics.backbones.judges import SIZE, EmotionJudge, IdentityJudge, Trunk
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


LABEL_SMOOTHING = 0.05
WEIGHT_DECAY = 0.05
WARMUP = 20


class Rebuilt(nn.Module):
    """A network that a checkpoint of its child can carry; of a trunk, unless a subclass finds its width otherwise."""

    trunk: Trunk

    @property
    def width(self) -> int:
        """Channels of its first layer."""
        return next(self.trunk.parameters()).shape[0]

    def recipe(self) -> Recipe:
        """Its width and its weights."""
        return {"width": self.width, "state": self.state_dict()}

    @classmethod
    def rebuild(cls, recipe: Recipe) -> nn.Module:
        """The network of a recipe."""
        network = cls(recipe["width"])
        network.load_state_dict(recipe["state"])
        return network.eval()


class EmotionCritic(Rebuilt, EmotionJudge):
    """The emotion network of a loss."""


class IdentityCritic(Rebuilt, IdentityJudge):
    """The identity network of a loss."""


class TrunkLayers(Rebuilt):
    """Maps of a trunk at four depths: what a perceptual loss compares."""

    stand_in = True

    def __init__(self, width: int, trunk: Trunk | None = None) -> None:
        super().__init__()
        self.trunk = trunk or Trunk(width, fine=True)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The maps of frames in [-1, 1], at the frames' own size."""
        return self.trunk.maps(images)


class CriticsModule(StageModule):
    """Three networks that share no parameter, one optimiser.

    `face_emotion` is for renders and photographs alike (EAC's L_emo): it names the emotion of both, and a photograph
    and the render of the same face have like features. `photo_emotion` and `photo_identity` are for photographs (HEF's
    losses). All are differentiable to the images: `features(images)`, `embed(images)`, and `perceptual()(images)`.
    """

    config: JudgesConfig

    def __init__(self, config: JudgesConfig | Mapping[str, Any]) -> None:
        config = as_config(JudgesConfig, config)
        super().__init__(config)
        self.face_emotion = EmotionCritic(config.critics.width)
        self.photo_emotion = EmotionCritic(config.critics.width)
        self.photo_identity = IdentityCritic(config.critics.width)

    def perceptual(self) -> TrunkLayers:
        """The identity network's maps."""
        return TrunkLayers(self.config.critics.width, self.photo_identity.trunk)

    def losses(self, batch: CriticBatch) -> dict[str, Float[Tensor, ""]]:
        """Cross-entropy of emotions on renders and photographs, distance of both domains, contrast of persons."""
        photographs = [_altered(batch.images) for _ in range(2)]
        both = torch.cat([_altered(images) for images in (batch.images, batch.own_renders, batch.renders)])
        features = self.face_emotion.features(both)
        named = torch.cat([batch.emotion, batch.emotion, batch.render_emotion])
        photo, render = features[: 2 * len(batch)].chunk(2)
        return {
            "face_emotion": 2 * _classify(self.face_emotion.classes(features), named),
            "face_domains": 1 - F.cosine_similarity(photo, render).mean(),
            "photo_emotion": _classify(self.photo_emotion(photographs[0]), batch.emotion),
            "photo_identity": losses.identity_loss(
                self.photo_identity.embed(photographs[1]), batch.person, self.config.temperature
            ),
        }

    def training_step(self, batch: CriticBatch, batch_idx: int) -> Tensor:
        """Sum of the losses."""
        values = self.losses(batch)
        total = torch.stack(list(values.values())).sum()
        self.log_scalars({"loss": total, **values})
        return total

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine schedule."""
        numbers = self.config.critics
        return adamw_with_cosine(self, Schedule(numbers.steps, numbers.learning_rate, WARMUP, WEIGHT_DECAY))

    def evaluate_batch(self, batch: CriticBatch, loader: int, phase: Phase) -> dict[str, float]:
        """Accuracy on images and renders of people held out, and how far an image's features lie from those of its
        own render and of another face's.
        """
        images, own, renders = map(losses.as_float, (batch.images, batch.own_renders, batch.renders))
        return {
            "photo_emotion_accuracy": _accuracy(self.photo_emotion(images), batch.emotion),
            "render_emotion_accuracy": _accuracy(self.face_emotion(renders), batch.render_emotion),
            "face_emotion_accuracy": _accuracy(self.face_emotion(images), batch.emotion),
            "domain_distance": _distance(*map(self.face_emotion.features, (images, own))),
            "stranger_distance": _distance(*map(self.face_emotion.features, (images, own.roll(1, 0)))),
            "photo_identity_auc": same_person_auc(self.photo_identity.embed(images), batch.person),
            "test_faces": float(len(batch)),
        }

    def summary(self, rows: Rows, phase: Phase) -> dict[str, float]:
        """Those of the one batch."""
        return rows[0][0]


def _altered(images: Tensor) -> Tensor:
    floats = losses.as_float(images)
    return losses.mirror(losses.augment(floats, floats.new_zeros(len(floats), 68, 2))[0])


def _classify(logits: Tensor, emotion: Tensor) -> Tensor:
    return F.cross_entropy(logits, emotion, label_smoothing=LABEL_SMOOTHING)


def _distance(one: Tensor, other: Tensor) -> float:
    return float((1 - F.cosine_similarity(one, other)).mean())


def _accuracy(logits: Tensor, emotion: Tensor) -> float:
    return float((logits.argmax(dim=1) == emotion).float().mean())
