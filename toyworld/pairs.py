"""The toy world's web: captioned images of random people, whom no clip shows, and their coefficients.

The images stand for what CLIP saw before anyone made MEAD. Three roles have disjoint people: `prior` (pretraining of
the text-prior stand-ins: every style, compound and new ones too, and scenes without a face), `judge` (networks used in
metrics) and `critic` (networks used in losses); the latter two hold MEAD's emotions only.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from conventions.errors import UserError
from conventions.files import atomic_file, write_json
from toyworld.pictures import Picture, Role, person_pictures, scene

PEOPLE_PER_PART = 10
SCENES_PER_PART = 6


def part_path(root: Path, role: Role, part: int) -> Path:
    """Where a part of a role's images waits for the others."""
    return root / "web" / role / f".part_{part:03d}.npz"


def num_parts(people: int) -> int:
    """Parts into which that many people are divided."""
    return -(-people // PEOPLE_PER_PART)


def write_part(root: Path, role: Role, part: int, people: int, seed: int) -> None:
    """Make the images of `PEOPLE_PER_PART` people; of `prior`, also scenes, numbered after all people."""
    pictures: list[Picture] = []
    for number in range(part * PEOPLE_PER_PART, min(people, (part + 1) * PEOPLE_PER_PART)):
        pictures += person_pictures(role, number, seed)
    if role == "prior":
        pictures += [scene(people + SCENES_PER_PART * part + i, seed) for i in range(SCENES_PER_PART)]
    with atomic_file(part_path(root, role, part)) as file:
        np.savez(
            file,
            images=np.stack([p.image for p in pictures]),
            coefficients=np.stack([p.coefficients for p in pictures]).astype(np.float32),
            placement=np.stack([p.placement for p in pictures]).astype(np.float32),
            person=np.array([p.person for p in pictures]),
            level=np.array([p.level for p in pictures]),
            caption=np.array([p.caption for p in pictures]),
            style=np.array([p.style for p in pictures]),
        )


def join_parts(root: Path, role: Role, people: int) -> None:
    """Make a role's files of its parts, then remove the parts; `pairs.json` is written last."""
    folder, paths = root / "web" / role, [part_path(root, role, part) for part in range(num_parts(people))]
    parts = [dict(np.load(path, allow_pickle=False)) for path in paths]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name in ("images", "coefficients", "placement", "person"):
        with atomic_file(folder / f"{name}.npy") as file:
            np.save(file, whole[name], allow_pickle=False)
    labels: dict[str, object] = {name: whole[name].tolist() for name in ("caption", "style", "level")}
    write_json(folder / "pairs.json", labels)
    for path in paths:
        path.unlink()


def is_joined(root: Path, role: Role) -> bool:
    """Whether a role's images are complete."""
    return (root / "web" / role / "pairs.json").is_file()


class PairSet:
    """The captioned images of one role, memory-mapped."""

    images: UInt8[np.ndarray, "n 64 64 3"]
    coefficients: Float32[np.ndarray, "n 257"]
    placement: Float32[np.ndarray, "n 3"]
    person: Int64[np.ndarray, " n"]
    captions: Sequence[str]
    style: Sequence[str]
    """An emotion's folder name; empty for a scene without a face."""
    level: Sequence[int]

    def __init__(self, root: Path, role: Role = "prior") -> None:
        self.root, self.role, folder = root, role, root / "web" / role
        if not is_joined(root, role):
            raise UserError(f"{folder}: no captioned images here; `emospace toy {root}` makes them")
        for name in ("images", "coefficients", "placement", "person"):
            setattr(self, name, np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
        labels = json.loads((folder / "pairs.json").read_text(encoding="utf-8"))
        self.captions, self.style, self.level = labels["caption"], labels["style"], labels["level"]

    def __len__(self) -> int:
        return len(self.images)
