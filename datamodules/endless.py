"""Endless training batches that a run can resume at any number, and the base of every stage's data."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset

from datamodules.batches import Batch

MakeBatch = Callable[[int], Batch]
"""Number of a batch -> the batch; picklable where worker processes call it."""


def batches_trained(trainer: pl.Trainer) -> int:
    """Training batches that a trainer worked through, those before a resume included."""
    total: Any = trainer.fit_loop.epoch_loop.batch_progress.total
    return total.processed


class EndlessBatches(IterableDataset[Batch]):
    """Batches `start`, `start + 1`, ...; workers take turns, so the order does not depend on their number."""

    def __init__(self, make: MakeBatch, start: int = 0) -> None:
        self.make, self.start = make, start

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        return map(self.make, itertools.count(self.start + first, stride))


class Items(Dataset[Any]):
    """A fixed sequence for evaluation: `make(key)` for each key."""

    def __init__(self, keys: Sequence[Any], make: Callable[[Any], Any]) -> None:
        self.keys, self.make = keys, make

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Any:
        return self.make(self.keys[index])


def item_loader(keys: Sequence[Any], make: Callable[[Any], Any] = lambda key: key) -> DataLoader:
    """A loader of `make(key)` for each key, in order; every rank reads all of them, so that all find equal metrics.

    The sampler is one of a single replica: any other one Lightning would replace, to share the keys out among ranks.
    """
    items = Items(keys, make)
    everything = DistributedSampler(items, num_replicas=1, rank=0, shuffle=False)
    return DataLoader(items, batch_size=None, sampler=everything)


class EndlessData(pl.LightningDataModule):
    """Base of the stages' data. Batch k is a pure function of (data, seed, k, rank).

    `next_batch` is the first batch that `train_dataloader` yields. A checkpoint holds the number of batches trained,
    so that `trainer.fit(module, datamodule=data, ckpt_path=...)` goes on with the next one.
    """

    def __init__(self, workers: int = 0) -> None:
        super().__init__()
        self.workers = workers
        self.next_batch = 0

    @property
    def rank(self) -> int:
        """This process among those of the trainer; 0 without one."""
        return self.trainer.global_rank if self.trainer is not None and self.trainer.world_size > 1 else 0

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Training batch number `step` of a rank; subclasses have this, or a `batch_maker` of their own."""
        raise NotImplementedError

    def batch_maker(self) -> MakeBatch:
        """The function from a training batch's number to the batch of this rank."""
        return functools.partial(self.batch, rank=self.rank)

    def train_dataloader(self) -> DataLoader:
        """Endless batches from `next_batch` on, in the order of their numbers."""
        return DataLoader(
            EndlessBatches(self.batch_maker(), self.next_batch),
            batch_size=None,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> list[DataLoader]:
        """Loaders of the validation data; none unless a subclass has some."""
        return []

    def test_dataloader(self) -> list[DataLoader]:
        """Loaders of the test data; none unless a subclass has some."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """The number of the batch that follows those trained."""
        if self.trainer is None:
            return {"next_batch": self.next_batch}
        return {"next_batch": batches_trained(self.trainer)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Begin at the batch of a checkpoint."""
        self.next_batch = int(state_dict["next_batch"])

    def teardown(self, stage: str) -> None:
        """Begin at batch 0 again: a checkpoint's place holds for the training that was resumed from it."""
        if stage == "fit":
            self.next_batch = 0
