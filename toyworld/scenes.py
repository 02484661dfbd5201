"""Images without a face: skies, fields, seas, walls, cities, nights, for captions that speak of no emotion."""

import numpy as np
from jaxtyping import UInt8
from scipy.ndimage import gaussian_filter

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
