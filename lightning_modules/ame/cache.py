"""Embeddings of a store's clips, computed once and kept by the content of store and encoder."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from conventions.files import atomic_file
from lightning_modules.ame.evaluation import clip_vectors
from lightning_modules.ame.space import EmotionSpace


def weights_hash(network: nn.Module) -> str:
    """Hex SHA-256 of all weights and buffers that a network computes with, frozen towers included."""
    digest = hashlib.sha256()
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def cached_clip_vectors(
    space: EmotionSpace, data: Any, clips: Sequence[Any], num_frames: int, folder: Path
) -> dict[str, Float[Tensor, "n 512"]]:
    """`clip_vectors`, read from `folder` when the same clips of the same store met the same weights before."""
    names = " ".join(clip.id for clip in clips)
    content = f"{data.store.hash} {weights_hash(space)} {data.resolution} {num_frames} {names}"
    path = folder / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as known:
            return {name: torch.from_numpy(known[name]) for name in known.files}
    space.eval()
    with torch.no_grad():
        vectors = clip_vectors(space, data, clips, num_frames, next(space.parameters()).device)
    vectors = {name: rows.cpu() for name, rows in vectors.items()}
    with atomic_file(path) as file:
        np.savez(file, **{name: rows.numpy() for name, rows in vectors.items()})  # pyright: ignore[reportArgumentType]
    return vectors
