"""The procedural head: BFM's interface, a sound mesh, and movements that do what their names say."""

import numpy as np
import pytest
import torch

from face3d.camera import project
from face3d.morphable import MorphableModel, load_model
from toyworld.face.head import EXPRESSION_NAMES, expression_vector, procedural_head
from toyworld.face.identity import IDENTITY_NAMES
from toyworld.face.parts import LEFT_EYE, SKIN, head_mesh
from toyworld.face.rings import LIP_POINTS
from toyworld.face.sculpt import EYE_CENTRE, EYE_RADIUS, distance


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return procedural_head()


def landmarks(head: MorphableModel, **movements: float) -> np.ndarray:
    expression = torch.from_numpy(expression_vector(movements))
    return head.shape(torch.zeros(80), expression)[head.keypoints].numpy()


def both(name: str, strength: float = 1.0) -> dict[str, float]:
    return {f"{name}_left": strength, f"{name}_right": strength}


def test_interface_is_that_of_bfm(head: MorphableModel) -> None:
    vertices = len(head.mean_shape)
    assert 2000 <= vertices <= 4000
    assert head.identity_basis.shape == (80, vertices, 3)
    assert head.expression_basis.shape == (64, vertices, 3)
    assert head.texture_basis.shape == (80, vertices, 3)
    assert head.keypoints.shape == (68,)
    assert head.name == "procedural-v1"
    assert head.expression_names == EXPRESSION_NAMES
    assert load_model("procedural-v1") is head
    assert len(set(EXPRESSION_NAMES)) == 64
    assert len(set(IDENTITY_NAMES)) == 80
    assert head.mean_texture.min() >= 0
    assert head.mean_texture.max() <= 1


def test_every_axis_moves_something_and_nothing_wildly(head: MorphableModel) -> None:
    for basis, most in ((head.identity_basis, 0.15), (head.expression_basis, 0.6)):
        largest = basis.norm(dim=-1).amax(-1)
        assert torch.isfinite(basis).all()
        assert (largest > 1e-3).all()
        assert (largest < most).all()
    assert (head.texture_basis.abs().amax((1, 2)) > 1e-3).all()


def test_skin_is_one_sheet_with_two_eye_holes_and_an_outer_rim() -> None:
    mesh = head_mesh()
    faces = mesh.triangles[(mesh.part[mesh.triangles] == SKIN).all(1)]
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(np.unique(directed, axis=0)) == len(directed), "an edge is used twice in the same direction"
    _, index, count = np.unique(np.sort(directed, axis=1), axis=0, return_index=True, return_counts=True)
    border = directed[index[count == 1]]
    from_front = np.linalg.norm(mesh.atlas[border[:, 0]] * 4 - 2, axis=1)
    assert ((mesh.ring[border[:, 0]] == "under") | (from_front > 1.9)).all()
    assert len(np.unique(mesh.triangles)) == len(mesh.points)


def test_mesh_is_its_own_mirror_image() -> None:
    mesh = head_mesh()
    assert (mesh.mirror[mesh.mirror] == np.arange(len(mesh.points))).all()
    np.testing.assert_allclose(mesh.points[mesh.mirror] * [-1, 1, 1], mesh.points, atol=1e-9)


def test_sculpted_skin_lies_on_the_implicit_surface() -> None:
    mesh = head_mesh()
    free = (mesh.part == SKIN) & (mesh.ring == "")
    assert np.abs(distance(mesh.points[free])).max() < 2e-3


def test_keypoints_are_in_ibug_order(head: MorphableModel) -> None:
    p = head.mean_shape[head.keypoints].numpy()
    assert (np.diff(p[:17, 0]) > 0).all(), "jaw runs from the picture's left to its right"
    assert p[8, 1] == p[:, 1].min()
    assert (np.diff(p[17:27, 0]) > 0).all()
    assert (np.diff(p[27:31, 1]) < 0).all()
    assert (np.diff(p[31:36, 0]) > 0).all()
    assert p[30, 2] == p[:, 2].max(), "the nose tip is foremost"
    for outer, inner, upper, lower in ((36, 39, (37, 38), (40, 41)), (45, 42, (43, 44), (46, 47))):
        assert abs(p[outer, 0]) > abs(p[inner, 0])
        assert p[list(upper), 1].min() > p[list(lower), 1].max()
    assert (np.diff(p[48:55, 0]) > 0).all()
    assert (np.diff(p[54:60, 0]) < 0).all()
    assert (np.diff(p[60:65, 0]) > 0).all()
    np.testing.assert_allclose(p[[61, 62, 63]], p[[67, 66, 65]], atol=1e-6, err_msg="lips touch at rest")


def test_proportions_are_a_grown_face_in_the_deep3d_frame(head: MorphableModel) -> None:
    still = torch.zeros(1, 3)
    frame = torch.tensor([[1.0, 0.0, 0.0]])
    xy, _ = project(head.mean_shape[None, head.keypoints], still, still, frame)
    pixels = (xy[0].numpy() + 1) * 112
    eyes = pixels[36:42].mean(0), pixels[42:48].mean(0)
    assert 58 < eyes[1][0] - eyes[0][0] < 70, "pupils 63 mm apart are 64 px"
    assert 60 < pixels[[48, 54]].mean(0)[1] - (eyes[0] + eyes[1])[1] / 2 < 76
    assert abs(pixels[:, 0].mean() - 112) < 1
    assert (pixels > 10).all()
    assert (pixels < 214).all()


def mouth_gap(p: np.ndarray) -> float:
    return float(p[62, 1] - p[66, 1])


def test_jaw_opens_the_mouth_and_lowers_the_chin(head: MorphableModel) -> None:
    rest, half, full = (landmarks(head, jaw_open=s) for s in (0.0, 0.5, 1.0))
    assert mouth_gap(rest) == pytest.approx(0, abs=1e-6)
    assert 0.25 < mouth_gap(full) < 0.55, "about 40 mm"
    assert mouth_gap(half) == pytest.approx(mouth_gap(full) / 2, rel=0.02)
    assert rest[8, 1] - full[8, 1] > 0.2
    np.testing.assert_allclose(full[36:48], rest[36:48], atol=2e-3)


def test_named_movements_go_where_their_names_say(head: MorphableModel) -> None:
    rest = landmarks(head)
    moved = {name: landmarks(head, **both(name)) - rest for name in (
        "lip_corner_puller", "lip_corner_depressor", "lip_stretcher", "inner_brow_raiser", "outer_brow_raiser",
        "brow_lowerer", "upper_lip_raiser", "lower_lip_depressor")}  # fmt: skip
    assert moved["lip_corner_puller"][54, :2].min() > 0.05
    assert moved["lip_corner_depressor"][54, 1] < -0.05
    assert moved["lip_stretcher"][54, 0] > 0.05
    assert moved["inner_brow_raiser"][22, 1] > 0.07 > 0.04 > moved["inner_brow_raiser"][26, 1]
    assert moved["outer_brow_raiser"][25, 1] > 0.06 > 0.03 > moved["outer_brow_raiser"][22, 1]
    assert moved["brow_lowerer"][22, 1] < -0.05
    assert moved["brow_lowerer"][22, 0] < -0.02
    assert moved["upper_lip_raiser"][51, 1] > 0.03
    assert moved["lower_lip_depressor"][57, 1] < -0.03


@pytest.mark.parametrize("name", ["lip_corner_puller", "eye_closure", "brow_lowerer", "cheek_raiser"])
def test_sides_are_mirror_images_and_independent(head: MorphableModel, name: str) -> None:
    mesh = head_mesh()
    left = head.expression_basis[EXPRESSION_NAMES.index(f"{name}_left")].numpy()
    right = head.expression_basis[EXPRESSION_NAMES.index(f"{name}_right")].numpy()
    np.testing.assert_allclose(left[mesh.mirror] * [-1, 1, 1], right, atol=1e-6)
    far = mesh.points[:, 0] < -0.2
    assert np.abs(left[far]).max() < 0.012


def test_eyes_close_and_the_lids_stay_outside_the_eyeball(head: MorphableModel) -> None:
    mesh = head_mesh()
    opening = lambda p: p[[43, 44], 1].mean() - p[[46, 47], 1].mean()  # noqa: E731
    assert opening(landmarks(head)) > 0.08
    assert opening(landmarks(head, **both("eye_closure"))) < 0.01
    lids = (mesh.ring == "margin") & (mesh.points[:, 0] > 0)
    for strength in np.linspace(0, 1, 5):
        expression = torch.from_numpy(expression_vector(both("eye_closure", float(strength))))
        points = head.shape(torch.zeros(80), expression).numpy()[lids]
        assert (np.linalg.norm(points - EYE_CENTRE, axis=1) > EYE_RADIUS).all()


def test_gaze_turns_the_eyeball_about_its_centre(head: MorphableModel) -> None:
    eye = torch.from_numpy(head_mesh().part == LEFT_EYE)
    for name, axis, sign in (("gaze_left", 0, 1), ("gaze_right", 0, -1), ("gaze_up", 1, 1), ("gaze_down", 1, -1)):
        points = head.shape(torch.zeros(80), torch.from_numpy(expression_vector({name: 1.0})))[eye].numpy()
        np.testing.assert_allclose(np.linalg.norm(points - EYE_CENTRE, axis=1), EYE_RADIUS, atol=1e-5)
        assert sign * (points[0] - EYE_CENTRE)[axis] > 0.03, "the pupil is the first vertex"


def test_unknown_movement_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="smirk"):
        expression_vector({"smirk": 1.0})


def test_identity_leaves_lips_closed_and_eyeballs_round(head: MorphableModel) -> None:
    rng = np.random.default_rng(0)
    mesh = head_mesh()
    contact = mesh.ring == "contact"
    assert contact.sum() == 2 * (2 * LIP_POINTS - 1) - 2
    for _ in range(4):
        shape = head.shape(torch.from_numpy(rng.normal(size=80).astype(np.float32)), torch.zeros(64)).numpy()
        p = shape[head.keypoints.numpy()]
        assert abs(mouth_gap(p)) < 1e-5
        eye = shape[mesh.part == LEFT_EYE]
        radius = np.linalg.norm(eye - (eye[0] - [0, 0, EYE_RADIUS]), axis=1)
        np.testing.assert_allclose(radius, EYE_RADIUS, atol=1e-5)
