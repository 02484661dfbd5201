"""HEF's re-enactment of real people whom it never saw, beside copying the source and the 3DMM's bare warp.

python -m studies.reenactment STORE [--model FILE] [--size 256] [--frames 8] [--weights FOLDER] [--sheet FILE.png]

STORE holds real clips (`emospace prepare CLIPS STORE --coefficients landmarks`), of which none was in training. The
source is the first frame of the actor's first neutral or unlabelled clip and is never scored; the frames to be made are
spread evenly over each clip. All is scored at `--size` pixels, at which HEF's frames are drawn as `emospace talk` draws
them (at HEF's own resolution they are its own); means over the clips' means:

PSNR      of the whole frame, in dB
distance  of MediaPipe's 68 landmarks from those of the true frame, as a share of the true eyes' distance
SFace     cosine of the embeddings of made and true frame
found     share of the frames in which MediaPipe finds a face
"""

import argparse
import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from conventions.weights import LANDMARKER, SFACE
from datamodules.batches import HEFBatch
from datamodules.config import DataConfig
from datamodules.mead import MEADDataModule
from emospace.talker import Talker, model_in_the_box
from face3d.grid import warp
from face3d.renderer import Renderer
from lightning_modules.hef.enlarge import Enlarger, Place, Source, to_bytes
from lightning_modules.hef.layers import resize
from lightning_modules.hef.module import HEFModule
from metrics.backbones.mediapipe import MediaPipeLandmarks
from metrics.backbones.sface import SFace
from metrics.functional.image import frame_psnr
from metrics.functional.landmarks import eye_distance

SHOWN = ("source", "truth", "copy", "warp", "HEF")
DETECTED_AT = 256
Row = Mapping[str, Mapping[str, float]]
"""Method -> score -> value."""


class Judges:
    """The networks that look at frames."""

    def __init__(self, weights: Path | None) -> None:
        self.landmarker, self.face = MediaPipeLandmarks(LANDMARKER.find(weights)), SFace(SFACE.find(weights))

    @torch.no_grad()
    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks and embeddings; NaN where there is no face."""
        large = F.interpolate(images, size=(DETECTED_AT, DETECTED_AT), mode="bicubic", align_corners=False)
        points = self.landmarker.landmarks(large)
        return points, self.face.embed(large, points)


@torch.no_grad()
def made_frames(hef: HEFModule, batch: HEFBatch, landmarks: Tensor) -> dict[str, Tensor]:
    """The frames of each method; `landmarks` [68, 2] are the source's."""
    size = batch.source.shape[-1]
    source, target = (
        (batch.source_coefficients, batch.source_placement),
        (batch.target_coefficients, batch.target_placement),
    )
    flow, seen = Renderer(hef.renderer.model, size).motion(*source, *target)
    small = dataclasses.replace(batch, source=resize(batch.source, hef.config.resolution))
    made = hef.reenact(hef.task(small, plain=True))
    picture = to_bytes(batch.source[:1])[0]
    correction = landmarks[None] - hef.renderer.keypoints(*(x[:1] for x in source))
    portrait = Source(small.source[0], source[0][:1], source[1][:1], correction)
    place = Place(size / 2 * torch.eye(2), torch.full((2,), size / 2))
    drawn = torch.stack(list(Enlarger(hef.renderer.model, portrait, picture, place).frames(made, *target)))
    return {
        "copy": batch.source,
        "warp": warp(batch.source, flow * seen),
        "HEF": drawn.permute(0, 3, 1, 2).float() / 127.5 - 1,
    }


def score(frames: Mapping[str, Tensor], true: Tensor, judges: Judges) -> Row:
    """Each method's means over the frames of one clip."""
    points, embedded = judges.look(true)
    row = {}
    for name, images in frames.items():
        own_points, own = judges.look(images)
        distance = (own_points - points).norm(dim=-1).mean(-1) / eye_distance(points)
        found = own_points[points.isfinite().all((1, 2))].isfinite().all((1, 2)).float().mean()
        alike = F.cosine_similarity(own, embedded).nanmean()
        values = (frame_psnr(images, true).mean(), distance.nanmean(), alike, found)
        row[name] = {k: float(v) for k, v in zip(("PSNR", "distance", "SFace", "found"), values, strict=True)}
    return row


def mean_row(rows: Sequence[Row]) -> Row:
    """Mean of each value over clips."""
    return {
        method: {name: sum(row[method][name] for row in rows) / len(rows) for name in rows[0][method]}
        for method in rows[0]
    }


def line(name: str, row: Row) -> str:
    """A line of the table."""
    shown = {"PSNR": "{:.2f}", "distance": "{:.1%}", "SFace": "{:.3f}", "found": "{:.2f}"}
    cells = [" / ".join(form.format(row[method][score]) for method in row) for score, form in shown.items()]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--model", type=Path, default=model_in_the_box(), help="model file; default: the package's")
    parser.add_argument("--size", type=int, default=256, help="pixels of the frames (default 256)")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--sheet", type=Path, help="picture of the last frame of each clip: " + ", ".join(SHOWN))
    options = parser.parse_args()
    hef, judges = Talker.from_file(options.model).pipeline.hef, Judges(options.weights)
    config = DataConfig(store=str(options.store), split="all_train")
    data = MEADDataModule(config, "hef", resolution=options.size, evaluate_frames=options.frames)
    groups: dict[str, list[Row]] = defaultdict(list)
    columns = []
    print(f"each cell: {' / '.join(SHOWN[2:])}\n| clip | PSNR | distance | SFace | found |\n|{' --- |' * 5}")
    for clip in data.store.clips:
        batch, reference = data.reenactment(clip), data.reference_frame(clip.actor)
        [source] = [other for other in data.store.clips if other.id == reference.clip]
        landmarks = torch.from_numpy(np.array(data.store.landmarks[source.start + reference.index]))
        frames = made_frames(hef, batch, landmarks)
        row = score(frames, batch.target, judges)
        groups[clip.id.split("_")[0]].append(row)
        print(line(clip.id, row), flush=True)
        columns.append(torch.cat([batch.source[-1], batch.target[-1], *(made[-1] for made in frames.values())], 1))
    for name, rows in groups.items():
        print(line(f"mean of {len(rows)} {name}", mean_row(rows)))
    everything = [row for rows in groups.values() for row in rows]
    print(line(f"mean of {len(everything)}", mean_row(everything)))
    if options.sheet:
        Image.fromarray(to_bytes(torch.cat(columns, 2)[None])[0].numpy()).save(options.sheet)


if __name__ == "__main__":
    main()
