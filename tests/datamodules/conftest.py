"""Tiny clips that the tests write themselves: moving pictures, tones, and coefficient files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from conventions.rates import SAMPLE_RATE
from datamodules.audio import write_audio
from datamodules.video_writer import write_video

SIZE = 64


def moving_picture(frames: int, size: int = SIZE) -> np.ndarray:
    """uint8 [frames, size, size, 3]: smooth colours, the whole brighter from frame to frame."""
    y, x = np.mgrid[:size, :size] / size
    base = np.stack([x, y, (x + y) / 2], axis=-1) * 100
    return (base[None] + np.linspace(20, 120, frames)[:, None, None, None]).astype(np.uint8)


def tone(seconds: float, hertz: float = 220.0) -> np.ndarray:
    """A sine at half scale, 16 kHz."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(np.float32)


def write_mat(path: Path, rows: int, size: int = SIZE, height: int | None = None, **extra: object) -> np.ndarray:
    """A coefficient file for a face in the middle of the (else square) image; its coefficients [rows, 257]."""
    tall = height or size
    coefficients = np.random.default_rng(rows).normal(0, 0.1, (rows, 257)).astype(np.float32)
    scale = 224 * 1.3 / size
    params = np.tile(np.array([size, tall, scale, size / 2, tall / 2], np.float32), (rows, 1))
    params[:, 3] += np.linspace(-1, 1, rows)
    scipy.io.savemat(path, {"coeff": coefficients, "transform_params": params, **extra})
    return coefficients


def write_clip(
    path: Path, frames: int = 20, fps: int = 25, *, sound: str | bool = ".wav", mat: bool = True, size: int = SIZE
) -> None:
    """A clip `path`.mp4 with `path`.mat beside it, and its audio in a file with that suffix or "inside" the mp4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    heard = tone(frames / fps)
    inside = heard if sound == "inside" else None
    write_video(path.with_suffix(".mp4"), moving_picture(frames, size), fps=fps, audio=inside)
    if isinstance(sound, str) and sound != "inside":
        write_audio(path.with_suffix(sound), heard)
    if mat:
        write_mat(path.with_suffix(".mat"), frames, size)


@pytest.fixture(autouse=True)
def no_weights_of_this_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test depends on weights that happen to lie about; those marked `real` ask for them."""
    if request.node.get_closest_marker("real") is None:
        monkeypatch.delenv("EMOSPACE_WEIGHTS", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session", name="write_clip")
def _write_clip() -> Callable[..., None]:
    """As `clip`, for a whole module."""
    return write_clip


@pytest.fixture(scope="session", name="write_mat")
def _write_mat() -> Callable[..., np.ndarray]:
    """`write_mat(path, rows, width, height)` writes a coefficient file."""
    return write_mat


@pytest.fixture
def clip() -> Callable[..., None]:
    """`clip(path, frames, fps, sound=..., mat=..., size=...)` writes a tiny clip."""
    return write_clip


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny labelled clips: two actors, two emotions, one compound style; 20 frames each."""
    root = tmp_path_factory.mktemp("raw")
    names = [("M001", "happy", 3), ("M001", "neutral", 1), ("W002", "happy", 1), ("W002", "awed", 2)]
    for actor, emotion, level in names:
        write_clip(root / f"{actor}_front_{emotion}_level{level}_001")
    (root / "styles.json").write_text('{"awed": {"kind": "compound", "parts": ["fear", "surprised"]}}')
    return root
