"""The web of the toy world: captioned images of random people, whom no clip shows, and their coefficients.

The images stand for what CLIP saw before anyone made MEAD: people at one moment of a random style, framed like the
training crop; and scenes without a face (skies, fields, seas, walls, cities, nights), whose captions speak of no
emotion. Three roles have disjoint people: `prior` (pretraining of the text-prior stand-ins: every style, compound and
new ones too, and scenes), `judge` (networks used in metrics) and `critic` (networks used in losses); the latter two
hold the emotions of MEAD only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from scipy.ndimage import gaussian_filter

from conventions.emotions import EMOTIONS
from conventions.errors import UserError
from conventions.files import atomic_file, write_json
from face3d.coefficients import ANGLE, EXPRESSION, GAMMA, NUM_COEFFICIENTS
from toyworld import rng_of
from toyworld.action_units import units_vector
from toyworld.actors import make_actor, render_frames
from toyworld.dynamics import HEAD_ANGLES
from toyworld.emotions import PATTERNS
from toyworld.lexicon import caption, unrelated_caption
from toyworld.performance import add_speech
from toyworld.prosody import LEVEL_STRENGTH
from toyworld.visemes import CHANNELS, VISEMES

SCENES = ("sky", "field", "sea", "wall", "city", "night")
_TOP = {
    "sky": (90, 150, 235), "field": (150, 195, 240), "sea": (170, 205, 235),
    "wall": (150, 90, 70), "city": (185, 195, 205), "night": (8, 10, 35),
}  # fmt: skip
_BOTTOM = {
    "sky": (190, 215, 245), "field": (70, 130, 40), "sea": (20, 70, 120),
    "wall": (130, 75, 60), "city": (70, 70, 75), "night": (25, 25, 55),
}  # fmt: skip


def _base(scene: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """Two colours that meet at a horizon, softly for sky and night."""
    y = (np.arange(size) + 0.5)[:, None, None] / size
    horizon, softness = rng.uniform(0.35, 0.65), 0.5 if scene in ("sky", "night", "wall") else 0.02
    mix = np.clip((y - horizon) / softness + 0.5, 0, 1)
    top, bottom = (np.array(side[scene], float) * rng.uniform(0.8, 1.15, 3) for side in (_TOP, _BOTTOM))
    return np.broadcast_to((1 - mix) * top + mix * bottom, (size, size, 3)).copy()


def _clouds(picture: np.ndarray, rng: np.random.Generator, strength: float) -> None:
    noise = gaussian_filter(rng.standard_normal(picture.shape[:2]), (2, 6))
    picture += strength * np.clip(noise / noise.std(), 0, 2)[..., None]


def _bricks(picture: np.ndarray, rng: np.random.Generator) -> None:
    step = int(rng.integers(6, 11))
    picture[::step] += 60
    for row, top in enumerate(range(0, len(picture), step)):
        picture[top : top + step, (row % 2) * step :: 2 * step] += 60


def _blocks(picture: np.ndarray, rng: np.random.Generator, count: int, colours: tuple[int, int]) -> None:
    """Upright blocks: houses, ships, trees."""
    size = len(picture)
    for _ in range(count):
        left, width = rng.integers(0, size - 6), rng.integers(5, 14)
        top, height = rng.integers(size // 4, 2 * size // 3), rng.integers(6, size // 2)
        picture[top : top + height, left : left + width] = rng.uniform(*colours, 3)


def _lights(picture: np.ndarray, rng: np.random.Generator) -> None:
    rows, columns = rng.integers(0, len(picture), (2, 24))
    picture[rows, columns] = rng.uniform(150, 255, (24, 1))


def scene_picture(scene: str, size: int, rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
    """One image of a scene."""
    picture = _base(scene, size, rng)
    if scene in ("sky", "field", "sea"):
        _clouds(picture, rng, 40.0)
    if scene == "wall":
        _bricks(picture, rng)
    if scene in ("city", "sea", "field"):
        _blocks(picture, rng, {"city": 9, "sea": 1, "field": 2}[scene], (40, 190))
    if scene in ("night", "city"):
        _lights(picture, rng)
    picture += rng.normal(0, 4, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


Role = Literal["prior", "judge", "critic"]
PAIR_SIZE = 64
PICTURES_EACH: Mapping[Role, int] = {"prior": 28, "judge": 24, "critic": 24}
"""Images of each person: to set a person up costs as much as twenty images of them."""
CROP_SCALE = 1 / 1.3
"""Scale of the training crop against the camera frame: the images are framed like the store's frames."""


@dataclass(frozen=True)
class Picture:
    """One captioned image; `style` is an emotion's name, or empty with level 0 for a scene."""

    image: np.ndarray
    caption: str
    style: str
    level: int
    person: int
    coefficients: np.ndarray
    placement: np.ndarray


def _styles(role: Role, count: int, rng: np.random.Generator) -> list[tuple[str, int]]:
    names = list(PATTERNS) if role == "prior" else list(EMOTIONS)
    chosen = rng.choice(len(names), count, replace=count > len(names))
    return [(names[i], 1 if names[i] == "neutral" else int(rng.integers(1, 4))) for i in chosen]


def _speech_mouth(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A mouth between two random sounds, for half of the images; at rest for the others."""
    names = sorted(VISEMES)
    first, second = (VISEMES[names[i]] for i in rng.integers(len(names), size=2))
    mix, gain = rng.random(), rng.uniform(0.5, 1.1) * (rng.random() < 0.5)
    channels = {}
    for name in CHANNELS:
        value = mix * first.targets.get(name, 0.0) + (1 - mix) * second.targets.get(name, 0.0)
        channels[name] = np.array([gain * value])
    held = mix * (first is VISEMES["bilabial"]) + (1 - mix) * (second is VISEMES["bilabial"])
    return channels | {"closure": np.array([held * float(gain > 0)])}


def _coefficients(rest: np.ndarray, emotion: str, level: int, rng: np.random.Generator) -> np.ndarray:
    """One moment of a face: the emotion somewhere in its course, a mouth, a pose, a light."""
    units, strength = PATTERNS[emotion].units, LEVEL_STRENGTH[level] * rng.uniform(0.75, 1.15)
    personal = {unit: value * rng.uniform(0.75, 1.25) for unit, value in units.items()}
    expression = add_speech(strength * units_vector(personal)[None], _speech_mouth(rng))[0]
    expression += rng.uniform(0, 0.08, 64) * (rng.random(64) < 0.3)
    result = rest.astype(np.float64).copy()
    result[EXPRESSION] = np.clip(expression, 0, 1.25)
    result[ANGLE] += rng.normal(0, [0.08, 0.16, 0.05])
    for unit, value in personal.items():
        result[ANGLE] += strength * value * np.array(HEAD_ANGLES.get(unit, (0.0, 0.0, 0.0)))
    result[GAMMA] += np.tile(rng.normal(0, 0.03, 9), 3) + rng.normal(0, 0.006, 27)
    return result


def person_pictures(role: Role, number: int, seed: int) -> list[Picture]:
    """`PICTURES_EACH` images of one person, with captions that describe them."""
    rng = rng_of(seed, "web", role, number)
    sex = "M" if number % 2 else "W"
    actor = make_actor(f"{sex}-{role}-{number}", seed)
    styles = _styles(role, PICTURES_EACH[role], rng)
    rows = np.stack([_coefficients(actor.coefficients, *style, rng) for style in styles]).astype(np.float32)
    places = np.stack([CROP_SCALE * rng.normal(1, 0.03, len(rows)), *rng.normal(0, 0.03, (2, len(rows)))], axis=1)
    images = render_frames(actor, rows, places.astype(np.float32), PAIR_SIZE)
    word = ("man" if sex == "M" else "woman") if rng.random() < 0.5 else "person"
    captions = [caption(*style, rng, word) for style in styles]
    return [
        Picture(image, text, *style, number, row, place)
        for image, text, style, row, place in zip(images, captions, styles, rows, places, strict=True)
    ]


def scene(number: int, seed: int) -> Picture:
    """An image without a face; its coefficients are zeros."""
    rng = rng_of(seed, "web", "scene", number)
    name = SCENES[int(rng.integers(len(SCENES)))]
    nothing = np.zeros(NUM_COEFFICIENTS), np.array([CROP_SCALE, 0.0, 0.0])
    return Picture(scene_picture(name, PAIR_SIZE, rng), unrelated_caption(name, rng), "", 0, number, *nothing)


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
