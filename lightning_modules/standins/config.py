"""Numbers of the stand-ins: priors, judges, critics and lip-sync expert; the defaults are the toy preset.

The architectures of the priors are `clip.json` and `gpt2.json` in `priors`.
"""

from dataclasses import dataclass, field

from lightning_modules.training.configs import at_least, positive, share


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
        _check_prior(self)


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
        _check_prior(self)


def _check_prior(prior: "ClipPriorConfig | GPT2PriorConfig") -> None:
    at_least(1, steps=prior.steps)
    at_least(2, batch_size=prior.batch_size)
    at_least(0, warmup=prior.warmup, weight_decay=prior.weight_decay)
    positive(learning_rate=prior.learning_rate)
    share(word_dropout=prior.word_dropout)


@dataclass(frozen=True)
class PriorConfig:
    """The two stand-ins."""

    clip: ClipPriorConfig = field(default_factory=ClipPriorConfig)
    gpt2: GPT2PriorConfig = field(default_factory=GPT2PriorConfig)


@dataclass(frozen=True)
class JudgeWeights:
    """Weights of the judges' losses; their networks share no parameter, so these are relative learning rates."""

    landmarks: float = 10.0
    """Mean distance of the 68 landmarks, in halves of the image's width."""
    mouth: float = 30.0
    """The same for the mouth's landmarks, each set centred: the shape of the mouth, not its position."""
    emotion: float = 1.0
    """Cross-entropy of the eight emotions."""
    identity: float = 0.5
    """Contrast between people."""
    sync: float = 1.0
    """Contrast between audio that belongs to five frames and audio that does not."""

    def __post_init__(self) -> None:
        at_least(0, **vars(self))


@dataclass(frozen=True)
class CriticsConfig:
    """The networks inside the losses of EAC and HEF."""

    steps: int = 400
    """Training batches."""
    batch_size: int = 48
    """Images in a batch, and the same number of renders."""
    width: int = 16
    """Channels of the first layer; the last has four times as many."""
    renders: int = 4
    """Renders of each image's expression and pose: first with its own face and light, then with other people's."""
    learning_rate: float = 3e-3
    """Peak rate of AdamW; cosine decay."""

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps, batch_size=self.batch_size, width=self.width, renders=self.renders)
        positive(learning_rate=self.learning_rate)


@dataclass(frozen=True)
class JudgesConfig:
    """The networks behind the metrics."""

    critics: CriticsConfig = field(default_factory=CriticsConfig)
    weights: JudgeWeights = field(default_factory=JudgeWeights)
    steps: int = 450
    """Training batches."""
    batch_size: int = 48
    """Images in a batch."""
    pictures_per_person: int = 4
    """Images of one person in a batch, for the contrast between people."""
    clip_frames: int = 8
    """Frames of each judge actor's clip that are added to the images."""
    sync_clips: int = 8
    """Clips in a batch of the sync network."""
    sync_windows: int = 12
    """Windows of each such clip; each is contrasted with all others."""
    width: int = 16
    """Channels of the first layer; the last has four times as many."""
    temperature: float = 0.1
    """Of both contrasts."""
    learning_rate: float = 3e-3
    """Peak rate of AdamW; cosine decay."""
    held_out: float = 0.15
    """Share of the people that are held out for testing the judges, at least one of the clips' actors among them."""

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps, batch_size=self.batch_size, pictures_per_person=self.pictures_per_person)
        at_least(1, clip_frames=self.clip_frames, sync_clips=self.sync_clips, width=self.width)
        positive(temperature=self.temperature, learning_rate=self.learning_rate)
        if self.sync_windows < 2:
            raise ValueError(f"sync_windows: {self.sync_windows} leaves nothing to contrast; it must be at least 2")
        if self.batch_size < 2 * self.pictures_per_person:
            raise ValueError(f"batch_size: {self.batch_size} is less than pictures_per_person of two people")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out: {self.held_out} is not a share; it must be between 0 and 1")


@dataclass(frozen=True)
class LipSyncConfig:
    """The lip-sync expert of EAC and HEF; it is trained where one of them gives its loss a weight."""

    steps: int = 300
    """Training batches."""
    clips: int = 8
    """Clips in a batch."""
    windows: int = 12
    """Windows of five frames of each of them; each is contrasted with all others of the batch."""
    renders: int = 2
    """Those of them that are drawn by the face model as well, as EAC's loss shows its prediction."""
    width: int = 16
    """Channels of the first layers; the last have four times as many."""
    temperature: float = 0.1
    """Of the contrast."""
    learning_rate: float = 3e-3
    """Peak rate of AdamW; cosine decay."""

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps, clips=self.clips, width=self.width)
        at_least(2, windows=self.windows)
        at_least(0, renders=self.renders)
        positive(temperature=self.temperature, learning_rate=self.learning_rate)
        if self.renders > self.windows:
            raise ValueError(f"renders: {self.renders} is impossible; it must be at most windows ({self.windows})")
