"""The small CLIP: an open_clip model of our own configuration, trained on captioned pictures of people."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from open_clip import CLIP
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.toy_mead.lexicon import vocabulary
from lightning_modules.priors.config import ClipPriorConfig
from lightning_modules.priors.data import CaptionedPictures, PairBatch, zero_shot_accuracy
from lightning_modules.priors.tokenizer import WordTokenizer, drop_words
from lightning_modules.training.single import adamw_with_cosine
from lightning_modules.training.stage import StageModule


@dataclass(frozen=True)
class ClipParts:
    """A CLIP as AME uses it: `model` has open_clip's encode_text and encode_image; images are [0, 1] before `mean`."""

    model: nn.Module
    tokenize: Callable[[Sequence[str]], Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int


def build_clip(tokenizer_size: int) -> CLIP:
    """The untrained stand-in of `clip.json`."""
    config = json.loads((Path(__file__).parent / "clip.json").read_text(encoding="utf-8"))
    text = CLIPTextCfg(**{**config["text_cfg"], "vocab_size": tokenizer_size})
    return CLIP(config["embed_dim"], CLIPVisionCfg(**config["vision_cfg"]), text)


class ClipPrior(StageModule):
    """Trains the stand-in on pairs of picture and caption by the symmetric InfoNCE of CLIP."""

    def __init__(self, config: ClipPriorConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = WordTokenizer(vocabulary(), length=24)
        self.model = build_clip(self.tokenizer.size)

    def parts(self) -> ClipParts:
        """The trained CLIP for AME."""
        half = (0.5, 0.5, 0.5)
        return ClipParts(self.model, self.tokenizer, half, half, 64)

    def embed_text(self, texts: Sequence[str]) -> Float[Tensor, "b 512"]:
        """Unit vectors of texts."""
        return F.normalize(self.model.encode_text(self.tokenizer(texts).to(self.device)), dim=-1)

    def embed_image(self, images: Float[Tensor, "b 3 64 64"]) -> Float[Tensor, "b 512"]:
        """Unit vectors of images in [-1, 1]."""
        return F.normalize(self.model.encode_image(images), dim=-1)

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """Symmetric cross-entropy over the batch; equal captions are equal answers."""
        tokens = drop_words(batch.tokens, self.config.word_dropout, self.tokenizer.end)
        images = torch.where(
            torch.rand(len(batch.image), 1, 1, 1, device=self.device) < 0.5, batch.image.flip(-1), batch.image
        )
        text = F.normalize(self.model.encode_text(tokens), dim=-1)
        scale = self.model.logit_scale.exp().clamp(max=100)
        loss = clip_loss(scale * self.embed_image(images) @ text.T, batch.tokens)
        self.log_scalars({"loss": loss, "logit_scale": scale})
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over what is trained, with a cosine schedule."""
        return adamw_with_cosine(self, self.config)

    @torch.no_grad()
    def evaluate(self, data: CaptionedPictures) -> dict[str, float]:
        """Zero-shot accuracy on pictures of held-out people, of the basic and of the other styles."""
        self.eval()
        return zero_shot_accuracy(self.embed_image, self.embed_text, data)


def clip_loss(logits: Float[Tensor, "b b"], tokens: Int[Tensor, "b n"]) -> Float[Tensor, ""]:
    """CLIP's symmetric cross-entropy (images in rows), its target shared among equal captions."""
    equal = (tokens[:, None] == tokens[None]).all(-1).float()
    target = equal / equal.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
