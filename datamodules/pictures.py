"""Image files as 8-bit RGB: upright, with the range of 16-bit and float files kept, on a stated background."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from conventions.errors import UserError
from conventions.files import regular_file

BACKGROUND = (255, 255, 255)
"""White: the RGB colour that transparent and half transparent pixels are composed on."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF")
"""Formats that are read. PostScript is none of them: it is a program that an interpreter would execute."""

UNIT_OVERSHOOT = 8.0
"""A float image with values above 1 and below this is refused: it could be in 0..1 or in 0..255."""


def read_picture(path: Path, background: tuple[int, int, int] = BACKGROUND) -> UInt8[np.ndarray, "h w 3"]:
    """An image file, upright, as RGB in 0..255; the first image of an animation.

    16-bit values are scaled from 0..65535. Float images lie in 0..1, 0..255 or 0..65535: the smallest of the three
    ranges that holds all values is used. Transparent pixels are composed on `background`. UserError otherwise.
    """
    regular_file(path, "picture")
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as image:
            warnings.simplefilter("ignore")  # of a large image, of odd metadata: the pixels are read or refused
            upright = ImageOps.exif_transpose(image)
            return _rgb(upright, background)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # Pillow's readers raise whatever the damage leads to: SyntaxError, struct.error ...
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: cannot be read as an image ({reason})") from error


def _rgb(image: Image.Image, background: tuple[int, int, int]) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        return _grey(np.asarray(image), image.mode, image.info.get("transparency"), background)
    if not image.has_transparency_data:
        return np.array(image.convert("RGB"))
    return on_background(np.asarray(image.convert("RGBA")), background)


def on_background(
    pixels: UInt8[np.ndarray, "h w 4"], background: tuple[int, int, int] = BACKGROUND
) -> UInt8[np.ndarray, "h w 3"]:
    """RGBA pixels composed on a colour."""
    image = Image.fromarray(pixels)
    return np.array(Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image).convert("RGB"))


def _grey(values: np.ndarray, mode: str, transparent: int | None, background: tuple[int, int, int]) -> np.ndarray:
    """One channel of 16-bit, 32-bit or float values as RGB."""
    if not np.isfinite(values).all():
        raise UserError("has values that are not finite")
    low, high = float(values.min()), float(values.max())
    most = _float_white(high) if mode == "F" else 65535.0
    if low < 0 or high > most:
        raise UserError(f"has values from {low:g} to {high:g}; 0..65535 can be read, or 0..1 as float")
    grey = np.round(values.astype(np.float64) * (255 / most)).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=-1)
    if isinstance(transparent, int):
        rgb[values == transparent] = background
    return rgb


def _float_white(high: float) -> float:
    """The value that stands for white in a float image."""
    if 1 < high < UNIT_OVERSHOOT:
        raise UserError(f"has float values up to {high:g}; scale them to 0..1")
    return next((most for most in (1.0, 255.0) if high <= most), 65535.0)
