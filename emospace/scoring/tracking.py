"""One pass over a generated and a true video: landmarks of both, once, and how one lies in the other."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from emospace.scoring.media import Media, Picture

STEADY = [*range(27, 48)]
"""Nose and eyes: what speech moves least."""
SAME_PLACE = 0.15
"""A face that lies within this share of its size from the truth's, and is as large within it, is in the same frame."""


class Track:
    """Landmarks of one video as its frames come: the largest face, then the one nearest to where it was last."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._last: np.ndarray | None = None
        self._found: list[np.ndarray] = []
        self.size = (0, 0)
        self.rivals = 0

    def add(self, picture: Picture) -> None:
        """The next frame."""
        self.size = picture.size
        faces = [] if self._network is None else _faces(self._network, picture)
        self.rivals += len(faces) > 1
        if not faces:
            self._found.append(np.full((68, 2), np.nan, np.float32))
            return
        if self._last is not None:
            centre = self._last.mean(axis=0)
            faces = sorted(faces, key=lambda face: float(np.linalg.norm(face.mean(axis=0) - centre)))
        self._last = faces[0]
        self._found.append(faces[0])

    @property
    def pixels(self) -> Float[np.ndarray, "t 68 2"]:
        """Landmarks in px from the frame's outer corner; NaN where no face was found."""
        return (np.stack(self._found).astype(np.float64) + 1) / 2 * self.size

    @property
    def found(self) -> Bool[np.ndarray, " t"]:
        """[t] Whether there is a face."""
        return np.asarray(np.isfinite(np.stack(self._found)).all(axis=(1, 2)))


def _faces(network: Any, picture: Picture) -> list[np.ndarray]:
    if hasattr(network, "faces"):
        return network.faces(picture.rgb())
    images = torch.from_numpy(picture.rgb()).permute(2, 0, 1)[None].float() / 127.5 - 1
    points = network.landmarks(images)[0].cpu().numpy()
    return [points] if np.isfinite(points).all() else []


@dataclass(frozen=True)
class Tracked:
    """Both videos' landmarks over the frames that both have, and the whole lengths."""

    generated: Track
    true: Track
    lengths: tuple[int, int]
    """Frames of the generated and of the true video."""

    @property
    def length(self) -> int:
        """Frames that are scored."""
        return min(self.lengths)


def track(generated: Media, true: Media, network: Any, progress: Callable[[int], None] = lambda done: None) -> Tracked:
    """Look at both videos once; `network` is the landmark network, or None: no faces are looked for."""
    tracks = Track(network), Track(network)
    lengths = [0, 0]
    for pictures in itertools.zip_longest(generated.frames(), true.frames()):
        both = all(picture is not None for picture in pictures)
        for side, picture in enumerate(pictures):
            if picture is not None:
                lengths[side] += 1
                if both:
                    tracks[side].add(picture)
        progress(min(lengths))
    return Tracked(*tracks, (lengths[0], lengths[1]))


@dataclass(frozen=True)
class Placement:
    """Where the generated frame lies in the true one: true px = scale * generated px + shift."""

    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)
    registered: bool = False
    """Whether it was found by landmarks: the generated video is a crop."""


def place(tracked: Tracked) -> Placement | None:
    """The placement of the generated frame; None where it is neither the true frame, larger or smaller, nor a face.

    Frames of one size are the same frame. Otherwise the generated frame is the true one at another size where the face
    lies at the same place in both; where it does not, it is a crop, registered by the steady landmarks of all frames.
    """
    (mw, mh), (tw, th) = tracked.generated.size, tracked.true.size
    if (mw, mh) == (tw, th):
        return Placement()
    whole = Placement((tw / mw, th / mh))
    both = tracked.generated.found & tracked.true.found
    same_shape = abs(mw / mh / (tw / th) - 1) < 0.01
    if not both.any():
        return whole if same_shape or not tracked.true.found.any() else None
    made, true = (one.pixels[both][:, STEADY] for one in (tracked.generated, tracked.true))
    scaled = made * whole.scale
    size, made_size = _spread(true), _spread(scaled)
    away = np.linalg.norm(np.median(scaled.mean(axis=1) - true.mean(axis=1), axis=0))
    extent = float(np.median(np.ptp(tracked.true.pixels[both][..., 0], axis=1)))
    if away < SAME_PLACE * extent and abs(made_size / size - 1) < SAME_PLACE:
        return whole
    factor = size / _spread(made)
    shift = np.median(true.mean(axis=1) - factor * made.mean(axis=1), axis=0)
    return Placement((factor, factor), (float(shift[0]), float(shift[1])), registered=True)


def _spread(points: Float[np.ndarray, "t n 2"]) -> float:
    """Median over frames of the root mean square distance from the centre."""
    centred = points - points.mean(axis=1, keepdims=True)
    return float(np.median(np.sqrt((centred**2).sum(axis=2).mean(axis=1))))
