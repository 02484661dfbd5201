"""AME's batches from several stores: voices of one, images of another, videos of a third."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from conventions.errors import UserError
from datamodules.batches import AMEBatch
from datamodules.config import SpeechForm
from datamodules.endless import EndlessData, MakeBatch, item_loader
from datamodules.mead import ORIGIN_BATCHES, ClipItem, MEADDataModule, evenly, holding


def shares(batch_size: int, weights: Sequence[float]) -> list[int]:
    """Clips of each source in a batch, in proportion to the weights, at least one of each."""
    if batch_size < len(weights):
        raise UserError(f"ame.batch_size: {batch_size} clips cannot come from {len(weights)} stores")
    ends = np.cumsum([0, *weights]) / sum(weights) * (batch_size - len(weights))
    return (1 + np.diff(np.round(ends))).astype(int).tolist()


@dataclasses.dataclass(frozen=True)
class _Joined:
    """Batch `step` of each source, one after another; picklable."""

    makers: Sequence[MakeBatch]

    def __call__(self, step: int) -> AMEBatch:
        return joined([make(step) for make in self.makers])  # pyright: ignore[reportArgumentType]


def joined(batches: Sequence[AMEBatch]) -> AMEBatch:
    """Batches one after another as one."""
    starts = np.cumsum([0, *(len(batch) for batch in batches)]).tolist()
    columns: dict[str, list[Tensor]] = {field.name: [] for field in dataclasses.fields(AMEBatch)}
    for batch, start in zip(batches, starts, strict=False):
        for name, values in columns.items():
            value = getattr(batch, name)
            values.append(value + start if name in ("image_rows", "voice_rows") else value)
    return AMEBatch(**{name: torch.cat(values) for name, values in columns.items()})


class MixedData(EndlessData):
    """Batches of AME from several stores, each balanced by style; evaluation on the clips of all of them.

    Args:
        sources: the data of each store (view "ame"), of one size of images and one voice feature.
        weights: how large the share of each store in a batch is.
        batch_size: clips in a batch.
    """

    def __init__(self, sources: Sequence[MEADDataModule], weights: Sequence[float], batch_size: int) -> None:
        super().__init__(sources[0].config.workers)
        self.sources, self.resolution = list(sources), sources[0].resolution
        self._shares = shares(batch_size, weights)

    @property
    def voice_form(self) -> SpeechForm:
        """What a frame of `AMEBatch.voice` is."""
        return self.sources[0].voice_form

    def batch_maker(self) -> MakeBatch:
        """The function from a batch's number to this rank's batch."""
        return _Joined(self._makers(self.rank))

    def _makers(self, rank: int) -> list[MakeBatch]:
        """One maker of a store's share of a batch for each; no two draw the same random numbers."""
        return [
            dataclasses.replace(
                source.batch_maker(),  # pyright: ignore[reportArgumentType]
                batch_size=share,
                rank=rank * len(self.sources) + number,
            )
            for number, (source, share) in enumerate(zip(self.sources, self._shares, strict=True))
        ]

    def pictures(self) -> Float[Tensor, "n 3 s s"]:
        """Images of the first training batches, the same on every rank."""
        make = _Joined(self._makers(0))
        return torch.cat([make(number).image for number in range(ORIGIN_BATCHES)])

    def val_dataloader(self) -> list[DataLoader]:
        """Clips of the validation actors of every store; no loader where there are none."""
        keys = [
            (number, clip)
            for number, source in enumerate(self.sources)
            for clip in evenly(holding(source.val_clips(), "ame"), source.max_val_clips)
        ]
        return [item_loader(keys, self._item)] if keys else []

    def test_dataloader(self) -> list[DataLoader]:
        """Clips of the test actors of every store: of the basic styles, then of unseen ones where there are any."""
        groups = [
            [
                (number, clip)
                for number, source in enumerate(self.sources)
                for clip in holding(source.test_clips(kind), "ame")
            ]
            for kind in ("basic", "unseen")
        ]
        while groups and not groups[-1]:
            groups.pop()
        return [item_loader(keys, self._item) for keys in groups]

    def _item(self, key: Any) -> ClipItem:
        number, clip = key
        return self.sources[number].clip_item(clip)
