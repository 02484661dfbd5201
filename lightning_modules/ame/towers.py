"""A CLIP and a GPT-2 as AME uses them, whoever trained them: public weights, local files or stand-ins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from conventions.errors import UserError, nearest
from conventions.weights import find_folder
from lightning_modules.ame.emotion import EMOTION_DIM


@dataclass(frozen=True)
class ClipParts:
    """A CLIP as AME uses it: `model` has open_clip's encode_text and encode_image.

    Preprocessing: cut `box` (left, top, right, bottom as shares of the image), resize to `size` (bicubic), bring
    [-1, 1] to [0, 1], subtract `mean`, divide by `std`.
    """

    model: nn.Module
    tokenize: Callable[[Sequence[str]], Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    def prepare(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 s s"]:
        """Images in [-1, 1] as the image tower wants them."""
        height, width = images.shape[-2:]
        left, top, right, bottom = self.box
        images = images[..., round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
        if images.shape[-2:] != (self.size, self.size):
            size = (self.size, self.size)
            images = F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
        mean, std = (images.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return ((images + 1) / 2 - mean) / std


@dataclass(frozen=True)
class GPT2Parts:
    """A GPT-2 as AME uses it: `model` gives hidden states [b, n, width]; `tokenize` gives numbers and their mask."""

    model: nn.Module
    tokenize: Callable[[Sequence[str]], tuple[Tensor, Tensor]]
    width: int


def load_clip(model: str, weights: str) -> ClipParts:
    """A public CLIP: an open_clip architecture with a pretrained tag (`openai`) or a local weights file."""
    if model not in open_clip.list_models():
        raise UserError(f"ame.text.clip_model: open_clip has no {model!r}{nearest(model, open_clip.list_models())}")
    if not weights:
        raise UserError(f"ame.text.clip_weights: {model} needs a pretrained tag such as openai, or a weights file")
    is_tag = weights in open_clip.list_pretrained_tags_by_model(model)
    if not is_tag and not Path(weights).is_file():
        raise UserError(f"ame.text.clip_weights: {weights!r} is neither a file nor a pretrained tag of {model}")
    try:
        network = open_clip.create_model(model, pretrained=weights)
    except (OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"ame.text.clip_weights: cannot load {model} from {weights!r} ({reason}); give the path of a local file"
        ) from error
    return _clip_parts(model, network)


def _clip_parts(model: str, network: Any) -> ClipParts:
    config = open_clip.get_model_preprocess_cfg(network)
    size = config["size"] if isinstance(config["size"], int) else config["size"][0]
    tokenizer = open_clip.get_tokenizer(model)
    parts = ClipParts(network, lambda texts: tokenizer(list(texts)), tuple(config["mean"]), tuple(config["std"]), size)
    width = network.encode_text(parts.tokenize(["face"])).shape[-1]
    if width != EMOTION_DIM:
        raise UserError(f"ame.text.clip_model: {model} embeds in {width} dimensions, emospace needs {EMOTION_DIM}")
    return parts


def load_gpt2(name: str) -> GPT2Parts:
    """A public GPT-2: a transformers name (`gpt2`) or a local folder in transformers' layout."""
    from transformers import AutoTokenizer, GPT2Model

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        network = GPT2Model.from_pretrained(name)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"ame.text.gpt2_model: cannot load {name!r} ({reason}); give a local folder") from error
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return GPT2Parts(network, _padded(tokenizer), network.config.n_embd)


def _padded(tokenizer: Any) -> Callable[[Sequence[str]], tuple[Tensor, Tensor]]:
    """Texts -> numbers of their tokens, and a mask that is False for padding."""

    def tokenize(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        encoded = tokenizer(list(texts), padding=True, truncation=True, max_length=64, return_tensors="pt")
        return encoded["input_ids"], encoded["attention_mask"].bool()

    return tokenize


@dataclass(frozen=True)
class SentenceParts(GPT2Parts):
    """A sentence encoder, likewise."""


def load_sentence_encoder(place: str) -> SentenceParts:
    """A sentence encoder in Hugging Face's layout: a folder, the name of one among the weights, or a hub name."""
    from transformers import AutoModel, AutoTokenizer

    folder = str(find_folder(place) or place)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        network = AutoModel.from_pretrained(folder).float()
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"ame.text.encoding: cannot load {place!r} ({reason}); give a local folder") from error
    width = network.config.hidden_size
    if width > EMOTION_DIM:
        raise UserError(f"ame.text.encoding: {place} embeds in {width} dimensions, the emotion space has {EMOTION_DIM}")
    return SentenceParts(network, _padded(tokenizer), width)


TEXTS_AT_ONCE = 64


class TextCache:
    """Features of texts, each embedded once by a frozen tower.

    In its last bits a text's feature depends on the batch that it is embedded in. Each of the `common` texts is
    therefore always embedded in one batch with the same others: training does not depend on where a run was resumed.
    """

    def __init__(
        self, embed: Callable[[Sequence[str]], Tensor], common: Sequence[str] = (), capacity: int = 8192
    ) -> None:
        self.embed, self.capacity = embed, capacity
        batches = [common[i : i + TEXTS_AT_ONCE] for i in range(0, len(common), TEXTS_AT_ONCE)]
        self.batch_of = {text: batch for batch in batches for text in batch}
        self.known: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Features [b, d] on `device`."""
        if len(self.known.keys() | set(texts)) > self.capacity:
            self.known.clear()
        for text in texts:
            if text not in self.known and text in self.batch_of:
                self._add(self.batch_of[text])
        self._add([text for text in dict.fromkeys(texts) if text not in self.known])
        return torch.stack([self.known[text] for text in texts]).to(device)

    def _add(self, texts: Sequence[str]) -> None:
        if texts:
            self.known.update(zip(texts, self.embed(texts).float().cpu(), strict=True))
