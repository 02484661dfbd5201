"""The small GPT-2: a transformers model of our own configuration, trained on the lexicon's captions."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from lightning_modules.ame.towers import GPT2Parts
from lightning_modules.standins.config import GPT2PriorConfig
from lightning_modules.standins.priors.data import PADDING, TextBatch, drop_words, word_tokenizer
from lightning_modules.training.configs import as_config
from lightning_modules.training.optimisers import adamw_with_cosine
from lightning_modules.training.parents import Recipe
from lightning_modules.training.stage import Phase, Rows, StageModule


def build_gpt2(tokenizer_size: int) -> GPT2LMHeadModel:
    """The untrained stand-in of `gpt2.json`."""
    config = json.loads((Path(__file__).parent / "gpt2.json").read_text(encoding="utf-8"))
    ends = {"bos_token_id": 1, "eos_token_id": tokenizer_size - 1, "pad_token_id": PADDING}
    return GPT2LMHeadModel(GPT2Config.from_dict({"vocab_size": tokenizer_size, **config, **ends}))


class GPT2Prior(StageModule):
    """Trains the stand-in to predict the next word of captions, of seen and unseen styles alike."""

    config: GPT2PriorConfig

    def __init__(self, config: GPT2PriorConfig | Mapping[str, Any]) -> None:
        config = as_config(GPT2PriorConfig, config)
        super().__init__(config)
        self.tokenizer = word_tokenizer()
        self.model = build_gpt2(self.tokenizer.size)

    def parts(self) -> GPT2Parts:
        """The trained GPT-2 for AME, without its word head."""
        return GPT2Parts(self.model.transformer, self._tokenize, self.model.config.n_embd)

    def _tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        tokens = self.tokenizer(texts)
        return tokens, tokens != PADDING

    def next_word_loss(self, tokens: Int[Tensor, "b n"], answers: Int[Tensor, "b n"]) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats of each next word of `answers`, given the words of `tokens`."""
        words = tokens[:, :-1]
        logits = self.model(input_ids=words, attention_mask=words != PADDING).logits
        return F.cross_entropy(logits.flatten(0, 1), answers[:, 1:].flatten(), ignore_index=PADDING)

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        """Next-word loss with word dropout in the input."""
        tokens = drop_words(batch.tokens, self.config.word_dropout, self.tokenizer.end)
        loss = self.next_word_loss(tokens, batch.tokens)
        self.log_scalars({"loss": loss})
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over what is trained, with a cosine schedule."""
        return adamw_with_cosine(self, self.config)

    @classmethod
    def rebuild(cls, recipe: Recipe) -> GPT2Parts:
        """The trained GPT-2 of a recipe, for AME."""
        prior = cls(GPT2PriorConfig())
        prior.model.transformer.load_state_dict(recipe["state"])
        return prior.parts()

    def evaluate_batch(self, batch: TextBatch, loader: int, phase: Phase) -> float:
        """Next-word loss on captions that training does not use."""
        return self.next_word_loss(batch.tokens, batch.tokens).item()

    def summary(self, rows: Rows, phase: Phase) -> dict[str, float]:
        """Perplexity per word."""
        return {"perplexity": math.exp(sum(rows[0]) / len(rows[0]))}
