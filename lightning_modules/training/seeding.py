"""Random numbers that depend on (seed, batch) alone, so that a resumed run draws what an unbroken one would have."""

import random

import numpy as np
import torch


def batch_entropy(seed: int, batch: int, rank: int = 0) -> list[int]:
    """Four 32-bit words that are a pure function of (seed, batch, rank)."""
    return [int(word) for word in np.random.SeedSequence((seed, batch, rank)).generate_state(4)]


def seed_batch(seed: int, batch: int, rank: int = 0) -> None:
    """Seed Python, NumPy and torch (all devices) for batch number `batch` of a run; ranks draw differently."""
    words = batch_entropy(seed, batch, rank)
    random.seed(words[0])
    np.random.seed(words[1])
    torch.manual_seed(words[2] << 31 | words[3] >> 1)
