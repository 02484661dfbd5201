"""`FaceClip`: one clip as the metrics look at it: true and generated frames cut alike, landmarks with them, the audio.

Frames come part by part (`Frames`), so that memory does not grow with the clip. Landmarks are found once and travel
with the clip: no metric finds the face again.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from metrics.protocol import Crop

PIXELS_AT_ONCE = 2**21
"""Pixels of a part: 32 frames of 256 px, one of full HD."""

SYNC_SIZE = 224
SYNC_PADDING = 0.4
"""SyncNet's official pipeline widens a face's box by this share (`crop_scale` of run_pipeline.py)."""
SYNC_MEDIAN = 13
"""Frames of the median filter over the box in that pipeline."""
FOREHEAD = 0.14
"""How far the face's box reaches above the 68 landmarks, as a share of their height: to the top of MediaPipe's mesh."""

Images = Float[Tensor, "_t 3 _h _w"] | UInt8[Tensor, "_t 3 _h _w"]


class Part(NamedTuple):
    """Some consecutive frames: what the image metrics see, and SyncNet's crop of them where it was cut."""

    pictures: Images
    sync: Images | None = None

    def held(self, count: int) -> "Part":
        """The only frame of this part, `count` times."""
        sync = None if self.sync is None else self.sync.expand(count, -1, -1, -1)
        return Part(self.pictures.expand(count, -1, -1, -1), sync)


@runtime_checkable
class Frames(Protocol):
    """A clip's frames, part by part; iterating again starts again."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Part]:
        """Parts of `part_length(*size)` frames, the last one shorter."""
        ...


def part_length(height: int, width: int) -> int:
    """Frames of a part."""
    return max(1, PIXELS_AT_ONCE // max(1, height * width))


class TensorFrames:
    """Frames in memory: uint8, or float in [-1, 1]."""

    def __init__(self, images: Images) -> None:
        self.images = images

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.images.shape[2], self.images.shape[3]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Part]:
        return (Part(images) for images in self.images.split(part_length(*self.size)))


class HeldFrames:
    """One image [1, 3, h, w] held still; networks look at it once."""

    def __init__(self, part: Part, length: int) -> None:
        self.part, self._length = part, length

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.part.pictures.shape[2], self.part.pictures.shape[3]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Part]:
        length = part_length(*self.size)
        for start in range(0, self._length, length):
            count = min(length, self._length - start)
            yield self.part.held(count)


@dataclass(frozen=True)
class Made:
    """Generated frames, and their landmarks where they are known already (found by the network of the metrics)."""

    frames: Frames
    landmarks: Float[Tensor, "t 68 2"] | None = None


@dataclass(frozen=True)
class FaceClip:
    """The truth of a clip, and what was generated for it, by row of the table.

    Attributes:
        true: true frames.
        audio: 16 kHz mono in [-1, 1] from the first frame on; empty where there is none.
        landmarks: of the true frames, (x, y) in [-1, 1] across the image; NaN where no face was found. None: the
            network of the metrics finds them.
        tracked_by: name of the network that found `landmarks`. LMD compares landmarks of one network: where it is
            another than that of the metrics, the true frames are looked at again for LMD alone.
        made: generated frames by row.
        source: the source portrait as one image, cut like the frames.
        source_landmarks: of the portrait.
        source_index: index of the true frame that the portrait is, where it is one: that frame is not scored.
        emotion: index in `EMOTIONS`; None for a style that is none of them.
        crop: what the images show.
        notes: named reasons why a metric has no value, by metric.
    """

    true: Frames
    audio: Float[Tensor, " samples"]
    landmarks: Float[Tensor, "t 68 2"] | None = None
    tracked_by: str = ""
    made: Mapping[str, Made] = field(default_factory=dict)
    source: Images | None = None
    source_landmarks: Float[Tensor, "1 68 2"] | None = None
    source_index: int | None = None
    emotion: int | None = None
    crop: Crop = "wide-v1"
    notes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_store(
        cls,
        frames: Images,
        landmarks: Float[Tensor, "t 68 2"] | None,
        audio: Float[Tensor, " samples"],
        source: Images | None = None,
        source_index: int | None = None,
        emotion: int | None = None,
        source_landmarks: Float[Tensor, "1 68 2"] | None = None,
    ) -> "FaceClip":
        """A clip whose frames are square crops `wide-v1` with known landmarks, as a store holds them."""
        parts = (TensorFrames(frames), audio, landmarks, "store")
        return cls(*parts, {}, source, source_landmarks, source_index, emotion)

    def with_generated(self, frames: Images | Frames, row: str = "per_clip") -> "FaceClip":
        """The same clip with generated frames in a row. Lengths must agree: no frame is cut or repeated."""
        made = Made(TensorFrames(frames) if isinstance(frames, Tensor) else frames)
        return self.with_row(row, made)

    def with_row(self, row: str, made: Made) -> "FaceClip":
        """The same clip with one more row."""
        return replace(self, made={**self.made, row: made})

    def with_references(self) -> "FaceClip":
        """The same clip with the rows `ground_truth` (the true frames) and, where it has a source, `copy_source`."""
        clip = self.with_row("ground_truth", Made(self.true, self.landmarks))
        if self.source is None:
            return clip
        held = Part(self.source)
        points = self.source_landmarks
        landmarks = None if points is None else points.expand(len(self.true), -1, -1)
        return clip.with_row("copy_source", Made(HeldFrames(held, len(self.true)), landmarks))

    @property
    def scored(self) -> Tensor:
        """[t] True for the frames that count: all but the source."""
        mask = torch.ones(len(self.true), dtype=torch.bool)
        if self.source_index is not None and 0 <= self.source_index < len(mask):
            mask[self.source_index] = False
        return mask


def as_images(frames: Images) -> Float[Tensor, "_t 3 _h _w"]:
    """Frames in [-1, 1]; uint8 frames are converted, float ones are clamped."""
    return frames.float() / 127.5 - 1 if frames.dtype == torch.uint8 else frames.float().clamp(-1, 1)


def frames_sha256(frames: Frames) -> str:
    """SHA-256 of a clip's images as bytes, with their size: what a run notes of frames that it never encodes."""
    height, width = frames.size
    digest = hashlib.sha256(f"{len(frames)} {height} {width}".encode())
    for part in frames:
        pictures = part.pictures
        if pictures.dtype != torch.uint8:
            pictures = ((pictures.float().clamp(-1, 1) + 1) * 127.5).round().byte()
        digest.update(pictures.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def filled(landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, "t 68 2"]:
    """Landmarks with those of the nearest frame that has a face in place of NaN; all NaN where no frame has one."""
    found = landmarks.isfinite().flatten(1).all(dim=1).nonzero()[:, 0]
    if not len(found):
        return landmarks
    nearest = (torch.arange(len(landmarks), device=landmarks.device)[:, None] - found).abs().argmin(dim=1)
    return landmarks[found[nearest]]


def sync_boxes(landmarks: Float[Tensor, "t 68 2"], width: int, height: int) -> Float[Tensor, "t 3"]:
    """(cx, cy, half) in px of SyncNet's crop of each frame; NaN where no frame has a face.

    run_pipeline.py takes the box of S3FD, its larger side 2 s, the median of 13 frames of centre and side, and cuts
    from 1 s above the centre to 1.8 s below it, 1.4 s to either side. Here the box is that of the landmarks, raised to
    the top of the forehead.
    """
    points = (filled(landmarks).double() + 1) / 2 * landmarks.new_tensor([width, height]).double()
    low, high = points.amin(dim=1), points.amax(dim=1)
    low[:, 1] = low[:, 1] - FOREHEAD * (high[:, 1] - low[:, 1])
    boxes = torch.cat([(low + high) / 2, (high - low).amax(dim=1, keepdim=True) / 2], dim=1)
    boxes = _median(boxes)
    half = boxes[:, 2] * (1 + SYNC_PADDING)
    centre = boxes[:, 1] + boxes[:, 2] * SYNC_PADDING
    return torch.stack([boxes[:, 0], centre, half], dim=1).float()


def _median(values: Tensor) -> Tensor:
    """Median over 13 frames about each; the first and the last frame repeat beyond the ends."""
    around = SYNC_MEDIAN // 2
    padded = torch.cat([values[:1].expand(around, -1), values, values[-1:].expand(around, -1)])
    return padded.unfold(0, SYNC_MEDIAN, 1).median(dim=2).values


def cut_windows(
    images: Float[Tensor, "t 3 h w"], windows: Float[Tensor, "t 3"], size: int = SYNC_SIZE
) -> Float[Tensor, "t 3 {size} {size}"]:
    """Square windows (cx, cy, half) in px of frames, resampled to `size`; beyond the frame lies grey, as in SyncNet's.

    Bilinear; frames far larger than the crop are smoothed first.
    """
    height, width = images.shape[-2:]
    shrink = float(windows[:, 2].mean()) * 2 / size
    if shrink > 1.5:
        smaller = [max(1, round(side / shrink)) for side in (height, width)]
        images = F.interpolate(images, smaller, mode="bilinear", antialias=True, align_corners=False)
    steps = (torch.arange(size, device=images.device) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    centre, half = windows[:, None, None, :2], windows[:, None, None, 2:]
    places = centre + torch.stack([x, y], dim=-1) * half
    grid = places / images.new_tensor([width, height]) * 2 - 1
    return F.grid_sample(images - GREY, grid, padding_mode="zeros", align_corners=False) + GREY


GREY = 110 / 127.5 - 1
"""What the official pipeline pads frames with."""
