"""Numbers of the lip-sync expert; the defaults are the toy preset."""

from dataclasses import dataclass

from lightning_modules.training.bounds import at_least, positive


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
