from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conventions.errors import UserError
from datamodules.video import read_video
from experiments.run_content import read_columns, write_csv
from experiments.samples import Sample, as_images, flow_images, write_sample
from face3d.coefficients import split
from lightning_modules.pipeline import driving


def test_driving_takes_face_from_the_source_and_motion_from_the_clip() -> None:
    true, source, expression = torch.zeros(4, 257), torch.ones(1, 257), torch.full((4, 64), 2.0)
    parts = split(driving(true, source, expression))
    assert parts.identity.eq(1).all()
    assert parts.texture.eq(1).all()
    assert parts.expression.eq(2).all()
    assert parts.angle.eq(0).all()
    assert parts.gamma.eq(0).all()
    assert parts.translation.eq(0).all()
    assert true.eq(0).all()


def test_pictures_keep_their_values() -> None:
    frames = torch.tensor([-1.0, 0.0, 1.0, 3.0])[:, None, None, None].expand(4, 3, 2, 2)
    assert as_images(frames)[:, 0, 0, 0].tolist() == [0, 128, 255, 255]


def test_the_colour_wheel_is_white_at_rest_and_turns_with_direction() -> None:
    flow = torch.zeros(3, 2, 4, 4)
    flow[1, 0], flow[2, 0] = 0.25, -0.25
    still, right, left = flow_images(flow)[:, 0, 0].astype(int)
    assert still.tolist() == [255, 255, 255]
    assert right.tolist() == [255, 0, 0]
    assert left.tolist() == [0, 255, 255]


def test_a_sample_is_a_video_with_all_panels_and_a_strip(tmp_path: Path) -> None:
    frames = torch.linspace(-1, 1, 8)[:, None, None, None].expand(8, 3, 32, 32).contiguous()
    sample = Sample(frames[0], frames, frames, frames, torch.zeros(8, 2, 32, 32), torch.zeros(8 * 640))
    write_sample(tmp_path, "M1/front happy", sample)
    assert read_video(tmp_path / "M1_front_happy.mp4").shape == (8, 32, 5 * 32, 3)
    assert np.asarray(Image.open(tmp_path / "M1_front_happy.png")).shape == (5 * 32, 6 * 32, 3)


def test_csv_keeps_values_and_leaves_undefined_cells_empty(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_csv(path, [{"id": "a", "EFD": 0.125}, {"id": "b", "EFD": float("nan")}])
    assert read_columns(path, ["EFD", "id", "LMD"]) == [("0.125", ""), ("a", "b"), ("", "")]
    assert read_columns(tmp_path / "none.csv", ["id", "EFD"]) == [(), ()]
    path.write_text("id,EFD\na,0.1\nb\n")
    with pytest.raises(UserError, match="the file is damaged; not every row has the 2 cells of the header"):
        read_columns(path, ["id"])
