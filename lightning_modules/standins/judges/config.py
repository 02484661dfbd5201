"""Numbers of the judges and the critics; the defaults are the toy preset."""

from dataclasses import dataclass, field

from lightning_modules.training.bounds import at_least, positive


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
