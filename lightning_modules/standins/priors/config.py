"""Numbers of the text-prior stand-ins; their architectures are `clip.json` and `gpt2.json` beside this file."""

from dataclasses import dataclass, field

from lightning_modules.training.bounds import at_least, positive, share


@dataclass(frozen=True)
class ClipPriorConfig:
    """Training of the small CLIP on the toy world's captioned images."""

    steps: int = 2500
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
    """Share of caption words replaced by the unknown word, so that unknown words are tolerated later."""

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps)
        at_least(2, batch_size=self.batch_size)
        at_least(0, warmup=self.warmup, weight_decay=self.weight_decay)
        positive(learning_rate=self.learning_rate)
        share(word_dropout=self.word_dropout)


@dataclass(frozen=True)
class GPT2PriorConfig:
    """Training of the small GPT-2 on the lexicon's captions."""

    steps: int = 500
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

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps)
        at_least(2, batch_size=self.batch_size)
        at_least(0, warmup=self.warmup, weight_decay=self.weight_decay)
        positive(learning_rate=self.learning_rate)
        share(word_dropout=self.word_dropout)


@dataclass(frozen=True)
class PriorConfig:
    """The two stand-ins."""

    clip: ClipPriorConfig = field(default_factory=ClipPriorConfig)
    gpt2: GPT2PriorConfig = field(default_factory=GPT2PriorConfig)
