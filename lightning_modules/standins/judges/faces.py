"""Labelled 64 px faces for judges and critics: images of the toy world's web, frames of a store's clips."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Int64, UInt8
from torch import Tensor

from conventions.emotions import EMOTIONS
from datamodules.batches import Batch
from datamodules.store import Store, StoredClip
from face3d.morphable import MorphableModel
from face3d.renderer import Renderer
from metrics.backbones.judges import SIZE
from toyworld.face.head import procedural_head
from toyworld.pairs import PairSet

CHUNK = 256


@dataclass(frozen=True)
class FaceBatch(Batch):
    """Images of faces with their labels; images are uint8, landmarks in [-1, 1]."""

    images: UInt8[Tensor, "b 3 64 64"]
    landmarks: Float[Tensor, "b 68 2"]
    emotion: Int[Tensor, " b"]
    person: Int[Tensor, " b"]


def image_tensor(images: UInt8[np.ndarray, "n 64 64 3"]) -> UInt8[Tensor, "n 3 64 64"]:
    """Images as a uint8 tensor, channels first."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


@dataclass(frozen=True)
class Faces:
    """Faces with their labels; all fields have one row for each image."""

    images: UInt8[np.ndarray, "n 64 64 3"]
    landmarks: Float32[np.ndarray, "n 68 2"]
    """True positions, (x, y) in [-1, 1] across the image."""
    emotion: Int64[np.ndarray, " n"]
    """Index in `EMOTIONS`."""
    person: Int64[np.ndarray, " n"]
    coefficients: Float32[np.ndarray, "n 257"]
    placement: Float32[np.ndarray, "n 3"]

    def __len__(self) -> int:
        return len(self.images)

    def batch(self) -> "FaceBatch":
        """Images and labels as tensors."""
        return FaceBatch(
            images=image_tensor(self.images),
            landmarks=torch.from_numpy(self.landmarks),
            emotion=torch.from_numpy(self.emotion),
            person=torch.from_numpy(self.person),
        )

    def select(self, rows: Int64[np.ndarray, " m"] | Bool[np.ndarray, " n"]) -> "Faces":
        """The chosen rows."""
        return Faces(*(getattr(self, field.name)[rows] for field in fields(self)))


def join(parts: Sequence[Faces]) -> Faces:
    """All faces of some sets; persons of different sets stay different."""
    shifted, next_person = [], 0
    for part in parts:
        shifted.append(part.person + next_person)
        next_person += int(part.person.max(initial=-1)) + 1
    arrays = {field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Faces)}
    return Faces(**(arrays | {"person": np.concatenate(shifted)}))


def landmarks_of(
    coefficients: np.ndarray, placement: np.ndarray, model: MorphableModel
) -> Float32[np.ndarray, "n 68 2"]:
    """Landmarks of faces whose coefficients are the truth."""
    renderer = Renderer(model, SIZE)
    with torch.no_grad():
        parts = [
            renderer.keypoints(
                torch.from_numpy(coefficients[i : i + CHUNK]), torch.from_numpy(placement[i : i + CHUNK])
            )
            for i in range(0, len(coefficients), CHUNK)
        ]
    return torch.cat(parts).numpy()


def faces_of_pairs(pairs: PairSet) -> Faces:
    """The images that show one of MEAD's emotions."""
    rows = np.array([index for index, style in enumerate(pairs.style) if style in EMOTIONS])
    coefficients, placement = np.array(pairs.coefficients)[rows], np.array(pairs.placement)[rows]
    return Faces(
        images=np.array(pairs.images)[rows],
        landmarks=landmarks_of(coefficients, placement, procedural_head()),
        emotion=np.array([EMOTIONS.index(pairs.style[row]) for row in rows]),
        person=np.array(pairs.person)[rows],
        coefficients=coefficients,
        placement=placement,
    )


def faces_of_clips(store: Store, clips: Sequence[StoredClip], per_clip: int) -> Faces:
    """Frames evenly taken from clips with a basic label; landmarks are those that the store holds."""
    chosen = [clip for clip in clips if clip.emotion in EMOTIONS and clip.has_landmarks]
    actors = sorted({clip.actor for clip in chosen})
    steps = [np.linspace(0, clip.length - 1, min(per_clip, clip.length)).astype(int) for clip in chosen]
    rows = np.concatenate([clip.start + step for clip, step in zip(chosen, steps, strict=True)] or [np.zeros(0, int)])
    counts = [len(step) for step in steps]
    images = [store.frames(clip, step.tolist(), SIZE) for clip, step in zip(chosen, steps, strict=True)]
    return Faces(
        images=np.concatenate(images or [np.zeros((0, SIZE, SIZE, 3), np.uint8)]),
        landmarks=np.array(store.landmarks[rows]),
        emotion=np.repeat([EMOTIONS.index(clip.emotion or "") for clip in chosen], counts).astype(np.int64),
        person=np.repeat([actors.index(clip.actor) for clip in chosen], counts).astype(np.int64),
        coefficients=np.array(store.exact[rows]),
        placement=np.array(store.placement[rows]),
    )


def held_out_people(person: Int64[np.ndarray, " n"], share: float) -> Bool[np.ndarray, " n"]:
    """True for the faces of the last people (at least one): they are never trained on."""
    people = np.unique(person)
    count = max(1, round(share * len(people)))
    return np.isin(person, people[len(people) - count :])
