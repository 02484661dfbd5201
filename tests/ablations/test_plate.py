"""A plate of clips: the still image and the video show the same words and cells."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from ablations.figures.plate import Plate, Row
from conventions.errors import UserError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def clip(*colours: tuple[int, int, int]) -> np.ndarray:
    """One frame of 8 x 8 pixels for each colour."""
    return np.stack([np.full((8, 8, 3), colour, np.uint8) for colour in colours])


def plate() -> Plate:
    """Two rows: a cell that is red, then green; and a blue one, one frame longer."""
    rows = [Row("happy 3", [clip(RED, GREEN)], still=1), Row("sad 1", [clip(BLUE, BLUE, BLUE)], still=0)]
    return Plate("Title", ["output"], rows, ["a note"])


def share(image: np.ndarray, colour: tuple[int, int, int]) -> float:
    """Share of pixels near a colour."""
    return float((np.abs(image.astype(int) - colour).max(axis=-1) < 40).mean())


def test_video_is_the_still_in_motion_with_its_words(tmp_path: Path) -> None:
    plate().write(tmp_path / "plate.png")
    plate().write(tmp_path / "plate.mp4")
    still = np.asarray(Image.open(tmp_path / "plate.png").convert("RGB"))
    with av.open(str(tmp_path / "plate.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 2
    height, width = frames[0].shape[:2]
    assert {still.shape[0] - height, still.shape[1] - width} <= {0, 1}
    assert [share(frame, RED) > 0.1 for frame in frames] == [True, False]
    assert [share(frame, GREEN) > 0.1 for frame in frames] == [False, True]
    assert share(frames[0], BLUE) == pytest.approx(share(still, BLUE), abs=0.01)
    assert np.abs(frames[1].astype(int) - still[:height, :width]).mean() < 3


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"written as \.png or \.mp4"):
        plate().write(tmp_path / "plate.gif")
    assert not list(tmp_path.iterdir())
