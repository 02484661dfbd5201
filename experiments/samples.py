"""What to look at after an evaluation: a video and an image strip of a clip, source to flow."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from conventions.files import atomic_file
from datamodules.video_writer import write_video

STRIP_COLUMNS = 6
FULL_COLOUR = 0.25
"""Flow length, in normalised units, at which the colour wheel is saturated."""


@dataclass(frozen=True)
class Sample:
    """One evaluated clip; images in [-1, 1], audio 16 kHz in [-1, 1]."""

    source: Float[Tensor, "3 r r"]
    render: Float[Tensor, "t 3 r r"]
    output: Float[Tensor, "t 3 r r"]
    truth: Float[Tensor, "t 3 r r"]
    flow: Float[Tensor, "t 2 r r"]
    audio: Float[Tensor, " samples"]


def write_sample(folder: Path, clip: str, sample: Sample) -> None:
    """`<clip>.mp4`: source, render, output, truth and flow side by side, with audio; `<clip>.png`: the same in rows."""
    write_panels(folder, re.sub(r"[^\w.-]", "_", clip), panels(sample), sample.audio.cpu().numpy())


def write_strip(folder: Path, name: str, rows: Mapping[str, Float[Tensor, "_ 3 r r"]]) -> None:
    """Videos in [-1, 1] side by side as `name`.mp4, and their frames in rows as `name`.png; as long as the shortest."""
    length = min(len(row) for row in rows.values())
    write_panels(folder, name, [as_images(row[:length]) for row in rows.values()])


def write_panels(
    folder: Path, name: str, rows: Sequence[UInt8[np.ndarray, "t r r 3"]], audio: np.ndarray | None = None
) -> None:
    """Panels side by side as `name`.mp4; `STRIP_COLUMNS` of their frames, a row for each panel, as `name`.png."""
    folder.mkdir(parents=True, exist_ok=True)
    write_video(folder / f"{name}.mp4", np.concatenate(rows, axis=2), audio=audio)
    columns = np.linspace(0, len(rows[0]) - 1, STRIP_COLUMNS).round().astype(int)
    strip = np.concatenate([np.concatenate(list(row[columns]), axis=1) for row in rows], axis=0)
    with atomic_file(folder / f"{name}.png") as file:
        Image.fromarray(strip).save(file, format="PNG")


def panels(sample: Sample, full_colour: float = FULL_COLOUR) -> list[UInt8[np.ndarray, "t r r 3"]]:
    """Source, render, output, truth and flow as images, all of the output's length."""
    source = sample.source[None].expand_as(sample.output)
    truth = sample.truth[: len(sample.output)]
    pictures = [as_images(part) for part in (source, sample.render, sample.output, truth)]
    return [*pictures, flow_images(sample.flow, full_colour)]


def as_images(frames: Float[Tensor, "t 3 r r"]) -> UInt8[np.ndarray, "t r r 3"]:
    """Frames in [-1, 1] as uint8 images."""
    pixels = ((frames.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round()
    return pixels.permute(0, 2, 3, 1).to(torch.uint8).numpy()


def flow_images(flow: Float[Tensor, "t 2 r r"], full_colour: float = FULL_COLOUR) -> UInt8[np.ndarray, "t r r 3"]:
    """Colour wheel: hue is the direction, saturation the length up to `full_colour`; white stands still."""
    field = flow.detach().float().cpu()
    length = (field.norm(dim=1) / full_colour).clamp(max=1)
    turn = torch.atan2(field[:, 1], field[:, 0]) / (2 * torch.pi) % 1
    hue = (turn[:, None] * 6 + torch.tensor([0.0, 4.0, 2.0])[:, None, None]) % 6
    pure = ((hue - 3).abs() - 1).clamp(0, 1)
    colour = 1 - length[:, None] * (1 - pure)
    return (colour * 255).round().permute(0, 2, 3, 1).to(torch.uint8).numpy()


def flow_wheel(size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The wheel that explains `flow_images`: each place has the colour of a flow from the middle to it."""
    axis = torch.linspace(-1, 1, size)
    across = torch.stack([axis[None].expand(size, size), axis[:, None].expand(size, size)])
    inside = across.norm(dim=0) <= 1
    return flow_images((across * inside)[None], 1.0)[0]
