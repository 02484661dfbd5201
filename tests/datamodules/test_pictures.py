"""Images of every depth and transparency: the range is kept and the background is the stated one."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conventions.errors import UserError
from datamodules.pictures import BACKGROUND, FORMATS, read_picture

RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)


def _same_ramp(path: Path) -> bool:
    read = read_picture(path)
    assert read.dtype == np.uint8
    assert read.shape == (64, 64, 3)
    return bool(np.abs(read.astype(float) - 255 * RAMP[..., None]).max() <= 1)


@pytest.mark.parametrize(
    ("values", "suffix"),
    [
        (np.round(RAMP * 255).astype(np.uint8), "png"),
        (np.round(RAMP * 65535).astype(np.uint16), "png"),
        (np.round(RAMP * 65535).astype(np.uint16), "tiff"),
        (np.round(RAMP * 65535).astype(">u2"), "tiff"),
        (np.round(RAMP * 65535).astype(np.int32), "tiff"),
        (RAMP.astype(np.float32), "tiff"),
        ((255 * RAMP).astype(np.float32), "tiff"),
        ((65535 * RAMP).astype(np.float32), "tiff"),
    ],
)
def test_every_depth_keeps_its_range(values, suffix, tmp_path):
    Image.fromarray(values).save(tmp_path / f"ramp.{suffix}")
    assert _same_ramp(tmp_path / f"ramp.{suffix}")


def test_16_bit_pgm(tmp_path):
    path = tmp_path / "ramp.pgm"
    path.write_bytes(b"P5 64 64 65535\n" + np.round(RAMP * 65535).astype(">u2").tobytes())
    assert _same_ramp(path)


@pytest.mark.parametrize("values", [RAMP - 0.5, 3 * RAMP, RAMP * np.nan, 1e6 * RAMP])
def test_float_values_that_fit_no_range_are_refused(values, tmp_path):
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "odd.tiff")
    with pytest.raises(UserError, match=r"odd\.tiff: has (float )?values"):
        read_picture(tmp_path / "odd.tiff")


def _hidden(mode: str) -> Image.Image:
    """Left half opaque red, right half transparent over a hidden green."""
    image = Image.new("RGBA", (8, 8), (200, 0, 0, 255))
    image.paste((0, 200, 0, 0), (4, 0, 8, 8))
    if mode == "LA":
        return image.convert("LA")
    if mode == "P":
        return image.convert("P", palette=Image.Palette.ADAPTIVE)
    return image


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGBA", "png"), ("RGBA", "webp"), ("RGBA", "tiff"), ("LA", "png"), ("P", "png"), ("RGBA", "gif")],
)
def test_hidden_colours_do_not_show(mode, suffix, tmp_path):
    path = tmp_path / f"hidden.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    _hidden(mode).save(path, **options)
    assert (read_picture(path)[:, 4:] == BACKGROUND).all()
    assert (read_picture(path, (1, 2, 3))[:, 4:] == (1, 2, 3)).all()
    assert (read_picture(path)[:, :4] == read_picture(path, (1, 2, 3))[:, :4]).all()


def test_half_transparent_pixels_are_mixed(tmp_path):
    Image.new("RGBA", (4, 4), (0, 0, 0, 128)).save(tmp_path / "half.png")
    assert np.abs(read_picture(tmp_path / "half.png").astype(int) - 127).max() <= 1


@pytest.mark.parametrize("depth", ["L", "RGB", "I;16"])
def test_one_transparent_colour(depth, tmp_path):
    image = Image.fromarray(np.full((4, 4), 7, np.uint16)) if depth == "I;16" else Image.new(depth, (4, 4), 7)
    key = (7, 0, 0) if depth == "RGB" else 7
    image.save(tmp_path / "key.png", transparency=key)
    assert (read_picture(tmp_path / "key.png") == BACKGROUND).all()


def test_upright_by_exif(tmp_path):
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, :8] = 250
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    Image.fromarray(picture).save(tmp_path / "turned.png", exif=exif)
    assert (read_picture(tmp_path / "turned.png") == np.rot90(picture, -1)).all()


def test_damaged_files_are_user_errors(tmp_path):
    whole = tmp_path / "whole.png"
    Image.fromarray((np.random.default_rng(0).random((32, 32, 3)) * 255).astype(np.uint8)).save(whole)
    data, path = whole.read_bytes(), tmp_path / "damaged.png"
    random = np.random.default_rng(1)
    for _ in range(100):
        broken = bytearray(data[: random.integers(1, len(data))])
        for at in random.integers(0, len(broken), 8):
            broken[at] = random.integers(256)
        path.write_bytes(broken)
        with contextlib.suppress(UserError):
            read_picture(path)


def test_no_postscript(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "program.eps")
    assert "EPS" not in FORMATS
    with pytest.raises(UserError, match="cannot be read"):
        read_picture(tmp_path / "program.eps")


@pytest.mark.parametrize(
    ("make", "state"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: os.mkfifo(path), "is a FIFO"),
        (lambda path: path.symlink_to("loop.png"), "symbolic links"),
        (lambda path: path.symlink_to("gone.png"), "link to nothing"),
        (lambda _: None, "no such picture"),
    ],
)
def test_what_is_no_file(make, state, tmp_path):
    make(tmp_path / "loop.png")
    with pytest.raises(UserError, match=state):
        read_picture(tmp_path / "loop.png")


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(UserError, match="too long"):
        read_picture(tmp_path / ("long" * 80 + ".png"))


@pytest.mark.real
@pytest.mark.parametrize("name", ["gray16.png", "cutout_hidden.png", "plain.png"])
def test_real_pictures(name, real_data):
    """Against Pillow's own reading of the 8 high bits and of the composition."""
    path = real_data / "cases" / name
    with Image.open(path) as image:
        if image.mode == "I;16":
            expected = np.repeat((np.asarray(image) / 257)[..., None], 3, axis=-1)
        else:
            rgba = np.asarray(image.convert("RGBA"), float)
            alpha = rgba[..., 3:] / 255
            expected = alpha * rgba[..., :3] + (1 - alpha) * np.array(BACKGROUND)
    assert np.abs(read_picture(path) - expected).max() <= 1
