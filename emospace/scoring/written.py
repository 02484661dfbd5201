"""What a method wrote: frames given as pictures, and whether rate, size and sound are those of its official output."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from conventions.errors import UserError
from conventions.rates import VIDEO_FPS
from datamodules.pictures import read_picture
from datamodules.video import open_media
from emospace.scoring.pairs import Pair

TOLERATED_FPS = 0.01


def read_stills(paths: Sequence[Path], fps: float) -> UInt8[Tensor, "t 3 h w"]:
    """Pictures shown at `fps`, as frames at 25 fps: to each tick the picture nearest in time, as for videos."""
    ticks = np.arange(max(round(len(paths) * VIDEO_FPS / fps), 1)) / VIDEO_FPS
    nearest = np.minimum(np.floor(ticks * fps + 0.5).astype(int), len(paths) - 1)
    pictures = {index: read_picture(paths[index]) for index in dict.fromkeys(nearest.tolist())}
    if len({picture.shape for picture in pictures.values()}) > 1:
        raise UserError(f"{paths[0].parent}: its pictures differ in size")
    return torch.from_numpy(np.stack([pictures[index] for index in nearest.tolist()])).permute(0, 3, 1, 2)


def generated_notes(pair: Pair, frames: UInt8[Tensor, "t 3 h w"]) -> list[str]:
    """The generated video's rate, and whatever differs from what its layout says the method writes."""
    layout, notes = pair.layout, []
    if layout is not None and layout.size is not None and layout.size != (frames.shape[3], frames.shape[2]):
        written = f"{layout.size[0]} x {layout.size[1]} px"
        notes.append(f"generated is {frames.shape[3]} x {frames.shape[2]} px, {layout.title} writes {written}")
    if pair.stills:
        return [*notes, *_off_clock("generated", still_rate(pair))]
    rate, sound = _header(pair.generated)
    if layout is not None and layout.fps is not None and rate is not None and abs(rate - layout.fps) > TOLERATED_FPS:
        notes.append(f"generated is of {rate:g} fps, {layout.title} writes {layout.fps:g}")
    if layout is not None and layout.sound and not sound:
        notes.append(f"generated has no sound, {layout.title} writes it")
    return [*notes, *_off_clock("generated", rate)]


def still_rate(pair: Pair) -> float:
    """Pictures a second of a clip that is given as pictures: a layout of pictures has a rate."""
    assert pair.layout is not None
    assert pair.layout.fps is not None
    return pair.layout.fps


def rate_note(side: str, path: Path) -> list[str]:
    """Says where a video is not of 25 fps."""
    return _off_clock(side, _header(path)[0])


def _off_clock(side: str, rate: float | None) -> list[str]:
    if rate is None or abs(rate - VIDEO_FPS) < TOLERATED_FPS:
        return []
    return [f"{side} of {rate:g} fps read at {VIDEO_FPS} fps"]


def _header(path: Path) -> tuple[float | None, bool]:
    """Frames a second, where the header says so, and whether there is sound."""
    with open_media(path) as container:
        rate = container.streams.video[0].average_rate
        return None if rate is None else float(rate), bool(container.streams.audio)
