"""Lightning's loops without logs and progress bars, and whole clips for them."""

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from conventions.emotions import STYLES, Style
from datamodules.endless import item_loader
from datamodules.mead import ClipItem


def quiet_trainer(**options: Any) -> pl.Trainer:
    """A trainer on the CPU that writes nothing."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return pl.Trainer(**{**quiet, "enable_checkpointing": False, **options})


def metrics_of(module: pl.LightningModule, *loaders: Iterable[Any], data: Any = None) -> dict[str, float]:
    """What the test loop logs for a DataModule or for the items of some loaders, without the prefix `test/`."""
    trainer = quiet_trainer()
    given = (
        {"datamodule": data} if data is not None else {"dataloaders": [item_loader(list(items)) for items in loaders]}
    )
    trainer.test(module, verbose=False, **given)
    return {name.removeprefix("test/"): float(value) for name, value in trainer.callback_metrics.items()}


def clip_item(emotion: str, level: int, num_frames: int = 6, **tensors: Tensor) -> ClipItem:
    """A clip of a style; tensors that are not given are zero."""
    shapes = {
        "frames": (num_frames, 3, 16, 16),
        "speech": (num_frames, 28, 13),
        "voice": (4 * num_frames, 80),
        "audio": (640 * num_frames,),
        "coefficients": (num_frames, 257),
        "placement": (num_frames, 3),
        "landmarks": (num_frames, 68, 2),
    }
    given = {name: torch.zeros(shape) for name, shape in shapes.items()} | tensors
    style = STYLES.index(Style(emotion, level)) if Style(emotion, level) in STYLES else -1
    given.setdefault("exact", given["coefficients"])
    return ClipItem(id=f"{emotion}_{level}", actor="A", emotion=emotion, level=level, style=style, **given)
