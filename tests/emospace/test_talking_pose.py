"""Head pose of a talking face: it starts at the portrait's, moves as the clip does, and goes back and forth."""

from pathlib import Path

import hef_world as world
import numpy as np
import pytest
import scipy.io
import torch

from conventions.errors import UserError
from datamodules.mead import Reference
from datamodules.video_writer import write_video
from emospace.talking.pose import STILL, HeadPose, back_and_forth, read_pose
from face3d.camera import angles, rotation, to_camera
from face3d.coefficients import ANGLE, TRANSLATION
from face3d.morphable import MorphableModel, load_model


@pytest.fixture
def model() -> MorphableModel:
    """Only a tracked video looks at it."""
    return world.ball()


def portrait(seed: int = 0) -> Reference:
    random = torch.Generator().manual_seed(seed)
    coefficients = 0.3 * torch.randn(257, generator=random)
    place = torch.tensor([0.8, 0.05, -0.1])
    return Reference(torch.zeros(3, 8, 8), coefficients, place, "portrait", 0)


def moving(frames: int, seed: int = 1) -> HeadPose:
    random = torch.Generator().manual_seed(seed)
    walk = 0.05 * torch.randn(frames, 9, generator=random).cumsum(0)
    return HeadPose(walk[:, :3] + 0.2, walk[:, 3:6], walk[:, 6:] * 0.1 + torch.tensor([0.7, 0.0, 0.0]))


def write_mat(path: Path, head: HeadPose, size: int = 64) -> None:
    """A coefficient file whose camera windows are the head's placement in a crop as wide as the image."""
    coefficients = np.zeros((len(head), 257), np.float32)
    coefficients[:, ANGLE], coefficients[:, TRANSLATION] = head.angle.numpy(), head.translation.numpy()
    scale, x, y = head.placement.numpy().T * size / 2
    columns = [np.full_like(x, size), np.full_like(x, size), 112 / scale, x + size / 2, size / 2 - y]
    content = {"coeff": coefficients, "transform_params": np.stack(columns, axis=1), "model": "procedural-v1"}
    scipy.io.savemat(path, content)


def test_angles_are_the_inverse_of_rotation() -> None:
    given = torch.rand(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2.8 - 1.4
    torch.testing.assert_close(angles(rotation(given)), given)


@pytest.mark.parametrize(
    ("length", "expected"), [(1, [0] * 9), (2, [0, 1] * 4 + [0]), (4, [0, 1, 2, 3, 2, 1, 0, 1, 2])]
)
def test_motion_goes_back_and_forth(length: int, expected: list[int]) -> None:
    assert back_and_forth(0, 9, length).tolist() == expected
    assert back_and_forth(4, 5, length).tolist() == expected[4:], "pieces go on where the last ended"


@pytest.mark.parametrize("frames", [1, 12])
def test_the_face_starts_where_the_portrait_is(frames: int) -> None:
    source = portrait()
    coefficients, place = moving(frames).drive(source, 0, 1)
    torch.testing.assert_close(coefficients[0], source.coefficients, atol=1e-6, rtol=0)
    torch.testing.assert_close(place[0], source.placement, atol=1e-6, rtol=0)


def test_still_is_the_portrait_bit_for_bit(model: MorphableModel) -> None:
    source = portrait()
    coefficients, place = read_pose(STILL, model, 10).drive(source, 5, 3)
    assert coefficients.equal(source.coefficients.expand(3, -1))
    assert place.equal(source.placement.expand(3, -1))


def test_a_portrait_that_looks_as_the_clip_begins_moves_exactly_as_the_clip() -> None:
    head, source = moving(20), portrait()
    source.coefficients[ANGLE], source.coefficients[TRANSLATION] = head.angle[0], head.translation[0]
    source.placement[:] = head.placement[0]
    coefficients, place = head.drive(source, 0, 20)
    torch.testing.assert_close(coefficients[:, ANGLE], head.angle)
    torch.testing.assert_close(coefficients[:, TRANSLATION], head.translation)
    torch.testing.assert_close(place, head.placement)
    rest = [i for i in range(257) if i not in (*range(224, 227), *range(254, 257))]
    assert coefficients[:, rest].equal(source.coefficients[rest].expand(20, -1)), "face, skin and light stay"


def test_a_nod_is_a_nod_of_a_face_that_looks_aside() -> None:
    nod = torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]])
    source = portrait()
    source.coefficients[ANGLE] = torch.tensor([0.0, 0.8, 0.0])
    ear_to_ear = torch.tensor([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    coefficients, _ = HeadPose(nod, torch.zeros(2, 3), torch.ones(2, 3)).drive(source, 0, 2)
    ears = to_camera(ear_to_ear.expand(2, 2, 3), coefficients[:, ANGLE], coefficients[:, TRANSLATION])
    torch.testing.assert_close(ears[1], ears[0], msg="the axis through the ears keeps its place")
    assert not torch.allclose(coefficients[1, ANGLE], coefficients[0, ANGLE])


def test_no_step_is_larger_than_the_clips_own() -> None:
    head, source = moving(7), portrait()
    _, place = head.drive(source, 0, 40)
    largest = (head.placement[1:] - head.placement[:-1]).abs().max(0).values * torch.tensor([2.0, 1.0, 1.0])
    assert ((place[1:] - place[:-1]).abs() <= largest + 1e-6).all()


def test_a_mat_is_read_and_so_is_the_one_beside_a_video(tmp_path: Path, model: MorphableModel) -> None:
    head, source = moving(12), portrait()
    write_mat(tmp_path / "clip.mat", head)
    write_video(tmp_path / "clip.mp4", np.zeros((12, 64, 64, 3), np.uint8))
    expected = head.drive(source, 0, 30)
    for name, limit in (("clip.mat", 30), ("clip.mp4", 30), ("clip.mp4", 5)):
        read = read_pose(tmp_path / name, model, limit)
        assert len(read) == min(limit if name == "clip.mp4" else 12, 12)
        moved = read.drive(source, 0, len(read))
        torch.testing.assert_close(moved[0], expected[0][: len(read)])
        size = read.placement[0, 0] / head.placement[0, 0]
        torch.testing.assert_close(moved[1][:, 0], expected[1][: len(read), 0])
        shift = (expected[1][: len(read), 1:] - source.placement[1:]) * size
        torch.testing.assert_close(moved[1][:, 1:] - source.placement[1:], shift, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("stil", "stil: is neither a video nor a .mat file; valid: natural, still"),
        ("none.mp4", "none.mp4: no such file"),
        ("none.mat", "none.mat: no such file"),
        ("bad.mat", "bad.mat: is not a readable .mat"),
        ("else.mat", "else.mat: has no 'coeff'"),
        ("bad.mp4", "bad.mp4: cannot be decoded"),
        ("short.mp4", "short.mat: 3 rows for a clip of 12 frames"),
    ],
)
def test_a_bad_pose_is_one_line(tmp_path: Path, model: MorphableModel, name: str, line: str) -> None:
    if name.startswith("bad"):
        (tmp_path / name).write_text("this is neither")
    scipy.io.savemat(tmp_path / "else.mat", {"other": np.zeros(3)})
    write_mat(tmp_path / "short.mat", moving(3))
    write_video(tmp_path / "short.mp4", np.zeros((12, 64, 64, 3), np.uint8))
    with pytest.raises(UserError, match=line.replace(".", r"\.")) as caught:
        read_pose(tmp_path / name, model, 10)
    assert "\n" not in str(caught.value)


@pytest.mark.real
@pytest.mark.slow
def test_a_video_without_a_mat_is_tracked(tmp_path: Path, real_data: Path, real_weights: Path) -> None:
    """The tracked motion of a real speaker is that of the coefficients that another tool measured on the frames."""
    video = real_data / "talking" / "speaker_3.mp4"
    (tmp_path / "alone.mp4").symlink_to(video)
    frames, source, model = 100, portrait(), load_model("procedural-v1")
    tracked = read_pose(tmp_path / "alone.mp4", model, frames, real_weights).drive(source, 0, frames)[0]
    measured = read_pose(video, model, frames).drive(source, 0, frames)[0]
    for axis in range(3):
        pair = torch.stack([tracked[:, 224 + axis], measured[:, 224 + axis]])
        assert torch.corrcoef(pair)[0, 1] > 0.6, axis


@pytest.mark.real
def test_a_video_without_a_face_is_one_line(tmp_path: Path, real_weights: Path, model: MorphableModel) -> None:
    write_video(tmp_path / "wall.mp4", np.full((12, 64, 64, 3), 127, np.uint8))
    with pytest.raises(UserError, match=r"wall\.mp4: no face in any of 10 frames"):
        read_pose(tmp_path / "wall.mp4", model, 10, real_weights)
