"""The frozen towers: CLIP through open_clip, GPT-2 through transformers; public weights, local files or stand-ins."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor

from conventions.errors import UserError, nearest
from lightning_modules.ame.emotion import EMOTION_DIM
from lightning_modules.standins.priors.parts import ClipParts, GPT2Parts


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

    def tokenize(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        encoded = tokenizer(list(texts), padding=True, truncation=True, max_length=64, return_tensors="pt")
        return encoded["input_ids"], encoded["attention_mask"].bool()

    return GPT2Parts(network, tokenize, network.config.n_embd)


class TextCache:
    """Features of texts that were embedded before; a frozen tower gives the same ones again."""

    def __init__(self, embed: Callable[[Sequence[str]], Tensor], capacity: int = 8192) -> None:
        self.embed, self.capacity = embed, capacity
        self.known: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Features [b, d] on `device`."""
        missing = [text for text in dict.fromkeys(texts) if text not in self.known]
        if len(self.known) + len(missing) > self.capacity:
            self.known.clear()
            missing = list(dict.fromkeys(texts))
        if missing:
            self.known.update(zip(missing, self.embed(missing).float().cpu(), strict=True))
        return torch.stack([self.known[text] for text in texts]).to(device)
