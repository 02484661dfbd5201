"""Numbers of the text-prior stand-ins; their architectures are `clip.json` and `gpt2.json` beside this file."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ClipPriorConfig:
    """Training of the small CLIP on the toy world's captioned pictures."""

    steps: int = 350
    """Training batches."""
    batch_size: int = 64
    """Pairs in a batch."""
    learning_rate: float = 1e-3
    """Peak rate of AdamW; cosine decay."""
    warmup: int = 20
    """Batches of linear warm-up."""
    weight_decay: float = 0.05
    """AdamW's decay of matrices."""
    word_dropout: float = 0.05
    """Share of caption words replaced by the unknown word, so that new words do no harm later."""


@dataclass(frozen=True)
class GPT2PriorConfig:
    """Training of the small GPT-2 on the lexicon's captions."""

    steps: int = 300
    """Training batches."""
    batch_size: int = 64
    """Captions in a batch."""
    learning_rate: float = 2e-3
    """Peak rate of AdamW; cosine decay."""
    warmup: int = 20
    """Batches of linear warm-up."""
    weight_decay: float = 0.01
    """AdamW's decay of matrices."""
    word_dropout: float = 0.05
    """Share of caption words replaced by the unknown word in the input."""


@dataclass(frozen=True)
class PriorConfig:
    """The two stand-ins."""

    clip: ClipPriorConfig = field(default_factory=ClipPriorConfig)
    gpt2: GPT2PriorConfig = field(default_factory=GPT2PriorConfig)
