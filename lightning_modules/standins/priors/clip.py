"""The small CLIP: an open_clip model of our own configuration, trained on captioned images of people.

Its image trunk is registered with timm, so that the open_clip configuration `clip.json` can name it.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from open_clip import CLIP
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from timm.models import is_model, register_model
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.ame.augment import image_augmentation
from lightning_modules.ame.config import AugmentConfig
from lightning_modules.ame.losses import contrastive_loss, logit_scale
from lightning_modules.ame.towers import ClipParts
from lightning_modules.standins.config import ClipPriorConfig
from lightning_modules.standins.priors.data import (
    PairBatch,
    StyledImages,
    drop_words,
    synonym_accuracy,
    word_tokenizer,
    zero_shot_accuracy,
)
from lightning_modules.training.configs import as_config
from lightning_modules.training.optimisers import adamw_with_cosine
from lightning_modules.training.parents import Recipe
from lightning_modules.training.stage import Phase, Rows, StageModule
from metrics.backbones.judges import stage

TRUNK_WIDTH = 16
"""Channels of the trunk's first stage; the following have 2, 3 and 4 times as many."""

TRUNK_HALVINGS = 4


class FaceTrunk(nn.Module):
    """Features of small aligned faces: every pixel is seen before the first halving, and the last map is kept whole.

    CLIP's ResNets and ViTs shrink their input by four or more at once, and the differences between emotions on a face
    of 40 pixels are one or two pixels wide.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        widths = [TRUNK_WIDTH * factor for factor in (1, 2, 3, 4)]
        halving = [stage(before, after, 2) for before, after in pairwise(widths)]
        self.stages = nn.Sequential(stage(3, TRUNK_WIDTH, 1), nn.MaxPool2d(2), *halving)
        self.num_features = widths[-1] * (size >> TRUNK_HALVINGS) ** 2
        self.default_cfg: dict[str, Any] = {}

    def reset_classifier(self, num_classes: int, global_pool: str = "") -> None:
        """There is none: open_clip calls this on every timm trunk and adds its own projection."""

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b d"]:
        """The last map, flat."""
        return self.stages(images.contiguous(memory_format=torch.channels_last)).flatten(1)


@register_model
def emospace_face_48(pretrained: bool = False, **_: Any) -> FaceTrunk:
    """The trunk for images of 48 px."""
    return FaceTrunk(48)


AUGMENTATION = AugmentConfig(flip=0.5, degrees=6.0, shift=0.03, zoom=0.06, colour=0.3)

IMAGE_SIZE = 48
"""As in `clip.json`."""

FACE_BOX = (0.16, 0.08, 0.84, 0.76)
"""Where the training crop holds the face: what the stand-in looks at."""


def build_clip(tokenizer_size: int) -> CLIP:
    """The untrained stand-in of `clip.json`."""
    assert is_model(emospace_face_48.__name__)
    config = json.loads((Path(__file__).parent / "clip.json").read_text(encoding="utf-8"))
    text = CLIPTextCfg(vocab_size=tokenizer_size, **config["text_cfg"])
    return CLIP(config["embed_dim"], CLIPVisionCfg(**config["vision_cfg"]), text)


class ClipPrior(StageModule):
    """Trains the stand-in on pairs of image and caption by CLIP's symmetric InfoNCE."""

    config: ClipPriorConfig

    def __init__(self, config: ClipPriorConfig | Mapping[str, Any]) -> None:
        config = as_config(ClipPriorConfig, config)
        super().__init__(config)
        self.tokenizer = word_tokenizer()
        self.model = build_clip(self.tokenizer.size)
        self.augment = image_augmentation(AUGMENTATION)

    def parts(self) -> ClipParts:
        """The trained CLIP for AME."""
        mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
        return ClipParts(self.model, self.tokenizer, mean, std, IMAGE_SIZE, FACE_BOX)

    def embed_text(self, texts: Sequence[str]) -> Float[Tensor, "b 512"]:
        """Unit vectors of texts."""
        return F.normalize(self.model.encode_text(self.tokenizer(texts).to(self.device)), dim=-1)

    def embed_image(self, images: Float[Tensor, "b 3 64 64"]) -> Float[Tensor, "b 512"]:
        """Unit vectors of images in [-1, 1]."""
        return F.normalize(self.model.encode_image(self.parts().prepare(images)), dim=-1)

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """Symmetric InfoNCE over the batch; pairs of one style and level are equal answers.

        The toy web repeats itself far more than the real one, where equals in a batch are rare.
        """
        tokens = drop_words(batch.tokens, self.config.word_dropout, self.tokenizer.end)
        images = self.augment((batch.image + 1) / 2) * 2 - 1
        text = F.normalize(self.model.encode_text(tokens), dim=-1)
        scale = logit_scale(self.model.logit_scale)
        positive = batch.label[:, None] == batch.label[None, :]
        loss = contrastive_loss(self.embed_image(images), text, scale, positive, (~positive).float())
        self.log_scalars({"loss": loss, "logit_scale": scale})
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over what is trained, with a cosine schedule."""
        return adamw_with_cosine(self, self.config)

    @classmethod
    def rebuild(cls, recipe: Recipe) -> ClipParts:
        """The trained CLIP of a recipe, for AME."""
        prior = cls(ClipPriorConfig())
        prior.model.load_state_dict(recipe["state"])
        return prior.parts()

    def evaluate_batch(self, batch: StyledImages, loader: int, phase: Phase) -> tuple[Tensor, tuple[str, ...]]:
        """Unit vectors of images of held-out people, and their styles."""
        return self.embed_image(batch.image), batch.style

    def summary(self, rows: Rows, phase: Phase) -> dict[str, float]:
        """Zero-shot accuracy on basic and on other styles; how well synonyms lie together."""
        vectors = torch.cat([vectors for vectors, _ in rows[0]])
        styles = [style for _, styles in rows[0] for style in styles]
        return zero_shot_accuracy(vectors, styles, self.embed_text) | synonym_accuracy(self.embed_text)
