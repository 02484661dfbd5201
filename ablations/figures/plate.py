"""A plate: clips in rows, what was made of them in columns, with headings; as a PNG of one frame, or as an mp4."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from conventions.errors import UserError
from conventions.files import atomic_file
from datamodules.video_writer import VideoWriter, video_form
from experiments.samples import flow_wheel

Clip = UInt8[np.ndarray, "t h w 3"]

CELL, GAP, LEFT, TOP, LINE, BOTTOM = 1.4, 0.05, 0.95, 0.4, 0.15, 1.05
"""Inches: an image, the space between two, the margins that hold words and the wheel, and a line of a heading."""

DOTS = 160
"""Dots an inch."""

GREY = "#555555"


@dataclass(frozen=True)
class Row:
    """One clip: its label, a video for each column, and the frame that a still image shows."""

    label: str
    cells: Sequence[Clip]
    still: int


@dataclass(frozen=True)
class Plate:
    """A figure made of images."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str]
    """Lines under the images."""
    rim: str = ""
    """Length of the flow at the rim of the colour wheel, in words; empty where no flow is shown."""

    def write(self, out: Path) -> None:
        """`.png`: one frame of each clip; `.mp4`: the same plate in motion, as long as its shortest clip."""
        writers = {".png": self._write_png, ".mp4": self._write_mp4}
        if out.suffix not in writers:
            raise UserError(f"--out {out}: a figure of clips is written as .png or .mp4")
        out.parent.mkdir(parents=True, exist_ok=True)
        writers[out.suffix](out)

    def _write_mp4(self, out: Path) -> None:
        figure, images = self._draw()
        canvas = FigureCanvasAgg(figure)
        width, height = (side - side % 2 for side in canvas.get_width_height())
        cells = [cell for row in self.rows for cell in row.cells]
        with VideoWriter(out, height, width, form=video_form(out)) as writer:
            for frames in zip(*cells, strict=False):
                for image, frame in zip(images, frames, strict=True):
                    image.set_data(frame)
                canvas.draw()
                writer.add_frames(np.asarray(canvas.buffer_rgba())[None, :height, :width, :3])

    def _write_png(self, out: Path) -> None:
        figure, _ = self._draw()
        with atomic_file(out) as file:
            figure.savefig(file, format="png")

    def _draw(self) -> tuple[Figure, list[AxesImage]]:
        """The plate with the still frame of each clip, and its images, row by row."""
        width = LEFT + len(self.columns) * (CELL + GAP) + 0.15
        top = TOP + LINE * max(heading.count("\n") + 1 for heading in self.columns)
        height = top + len(self.rows) * (CELL + GAP) + BOTTOM
        figure, images = Figure(figsize=(width, height), dpi=DOTS), []
        figure.text(0.1 / width, 1 - 0.08 / height, self.title, va="top", fontsize=11, weight="bold")
        for line, row in enumerate(self.rows):
            bottom = height - top - (line + 1) * (CELL + GAP)
            label = figure.text((LEFT - 0.1) / width, (bottom + CELL / 2) / height, row.label, fontsize=8)
            label.set(ha="right", va="center")
            for column, cell in enumerate(row.cells):
                left = LEFT + column * (CELL + GAP)
                images.append(_picture(figure, cell[row.still], (left, bottom, CELL), (width, height)))
                if line == 0:
                    middle, over = (left + CELL / 2) / width, (height - top + 0.04) / height
                    figure.text(middle, over, self.columns[column], ha="center", va="bottom", fontsize=8)
        self._legend(figure, (width, height))
        return figure, images

    def _legend(self, figure: Figure, size: tuple[float, float]) -> None:
        wheel, words = BOTTOM - 0.3, "\n".join(self.notes)
        if self.rim:
            _picture(figure, flow_wheel(200), (LEFT - wheel - 0.1, 0.2, wheel), size)
            words = f"flow: from each pixel to its place in the source; wheel's rim: {self.rim}\n{words}"
        place = LEFT / size[0], (0.2 + wheel / 2) / size[1]
        figure.text(*place, words, va="center", fontsize=7, color=GREY, linespacing=1.5)


def _picture(
    figure: Figure,
    picture: UInt8[np.ndarray, "h w 3"],
    place: tuple[float, float, float],
    size: tuple[float, float],
) -> AxesImage:
    """An image at (left, bottom, side) in inches of a figure of `size`."""
    left, bottom, side = place
    axes = figure.add_axes((left / size[0], bottom / size[1], side / size[0], side / size[1]))
    axes.set_axis_off()
    return axes.imshow(picture, interpolation="lanczos")
