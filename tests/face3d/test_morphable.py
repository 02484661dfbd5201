"""The contract's arithmetic and its two loaded members, from files synthesised with the real fields and shapes."""

import numpy as np
import pytest
import scipy.io
import torch

from conventions.errors import UserError
from face3d import ict
from face3d.morphable import keypoint_model, load_bfm09, load_ict, load_model

BFM_VERTICES = 35_709


def test_shape_is_linear_and_batched(small_head, coefficients):
    identity, expression = coefficients[:, :80], coefficients[:, 80:144]
    shape = small_head.shape(identity, expression)
    expected = small_head.mean_shape.numpy() + np.einsum(
        "bn,nvc->bvc", identity.numpy(), small_head.identity_basis.numpy()
    )
    expected += np.einsum("bn,nvc->bvc", expression.numpy(), small_head.expression_basis.numpy())
    np.testing.assert_allclose(shape.numpy(), expected, atol=1e-12)
    assert small_head.shape(identity[None], expression[None]).shape == (1, 3, *small_head.mean_shape.shape)


def test_coefficients_and_basis_may_differ_in_length(small_head):
    zero = torch.zeros(80, dtype=torch.float64)
    long, short = torch.ones(70, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    full = small_head.mean_shape + small_head.expression_basis.sum(0)
    torch.testing.assert_close(small_head.shape(zero, long), full)
    torch.testing.assert_close(
        small_head.shape(zero, short), small_head.mean_shape + small_head.expression_basis[:5].sum(0)
    )


def test_the_keypoint_model_is_the_model_at_its_keypoints(small_head, coefficients):
    identity, expression = coefficients[:, :80], coefficients[:, 80:144]
    small = keypoint_model(small_head)
    torch.testing.assert_close(
        small.shape(identity, expression), small_head.shape(identity, expression)[:, small_head.keypoints]
    )


@pytest.fixture(scope="module")
def bfm_file(tmp_path_factory):
    """A file with the fields, shapes and units of BFM_model_front.mat."""
    random = np.random.default_rng(0)
    rows = 3 * BFM_VERTICES
    content = {
        "meanshape": random.normal(size=(1, rows)).astype(np.float32),
        "idBase": random.normal(size=(rows, 80)).astype(np.float32),
        "exBase": random.normal(size=(rows, 64)).astype(np.float32),
        "meantex": random.uniform(0, 255, size=(1, rows)).astype(np.float32),
        "texBase": random.normal(size=(rows, 80)).astype(np.float32),
        "tri": random.integers(1, BFM_VERTICES + 1, size=(70_789, 3)),
        "keypoints": random.integers(1, BFM_VERTICES + 1, size=(1, 68)),
        "point_buf": np.ones((BFM_VERTICES, 8)),
    }
    path = tmp_path_factory.mktemp("bfm") / "BFM_model_front.mat"
    scipy.io.savemat(path, content)
    return path, content


def test_bfm09_is_read_as_deep3d_reads_it(bfm_file):
    path, content = bfm_file
    model = load_model("bfm09", path)
    random = np.random.default_rng(1)
    identity, expression, texture = random.normal(size=80), random.normal(size=64), random.normal(size=80)
    mean = content["meanshape"].reshape(-1, 3)
    mean = (mean - mean.mean(0)).reshape(-1)
    shape = (mean + content["idBase"] @ identity + content["exBase"] @ expression).reshape(-1, 3)
    colour = (content["meantex"].reshape(-1) + content["texBase"] @ texture).reshape(-1, 3) / 255
    to_tensor = lambda values: torch.from_numpy(values).float()  # noqa: E731
    np.testing.assert_allclose(model.shape(to_tensor(identity), to_tensor(expression)).numpy(), shape, atol=2e-4)
    np.testing.assert_allclose(model.texture(to_tensor(texture)).numpy(), colour, atol=1e-5)
    np.testing.assert_array_equal(model.triangles.numpy(), content["tri"] - 1)
    np.testing.assert_array_equal(model.keypoints.numpy(), content["keypoints"][0] - 1)
    assert model.name == "bfm09"


def test_a_file_that_is_not_bfm09_is_one_clear_line(tmp_path):
    other = tmp_path / "other.mat"
    scipy.io.savemat(other, {"meanshape": np.zeros(3)})
    with pytest.raises(UserError, match=r"other\.mat: lacks idBase, exBase"):
        load_bfm09(other)
    torn = tmp_path / "torn.mat"
    torn.write_bytes(b"not a mat file")
    with pytest.raises(UserError, match="not a readable BFM_model_front"):
        load_bfm09(torn)
    with pytest.raises(UserError, match="not a readable"):
        load_bfm09(tmp_path / "absent.mat")


def test_unknown_and_pathless_models_are_one_clear_line():
    with pytest.raises(UserError, match="did you mean 'bfm09'"):
        load_model("bfm9")
    with pytest.raises(UserError, match="give the path"):
        load_model("ict")


def write_obj(path, vertices, polygons=()):
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += ["vt 0.5 0.5", *("f " + " ".join(f"{i + 1}/1" for i in p) for p in polygons)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def ict_folder(tmp_path_factory):
    """A FaceXModel folder with one identity and two expressions, and the arrays behind it (centimetres)."""
    folder = tmp_path_factory.mktemp("FaceXModel")
    random = np.random.default_rng(0)
    vertices = random.normal(size=(ict.NUM_VERTICES, 3)).astype(np.float32).round(4)
    polygons = [(0, 1, 2, 3), (4, 5, 6), (26_000, 26_001, 26_002)]
    offsets = {name: random.normal(size=vertices.shape).round(3) for name in ("identity000", "jawOpen", "eyeBlink_L")}
    write_obj(folder / "generic_neutral_mesh.obj", vertices, polygons)
    for name, offset in offsets.items():
        write_obj(folder / f"{name}.obj", vertices + offset)
    return folder, vertices, offsets


def test_ict_is_read_from_its_folder(ict_folder):
    folder, vertices, offsets = ict_folder
    model = load_model("ict", folder)
    assert model.expression_names == ("eyeBlink_L", "jawOpen")
    assert model.triangles.tolist() == [[0, 1, 2], [0, 2, 3], [4, 5, 6]]
    np.testing.assert_allclose(model.identity_basis[0].numpy(), offsets["identity000"] / 10, atol=1e-5)
    np.testing.assert_allclose(model.expression_basis[1].numpy(), offsets["jawOpen"] / 10, atol=1e-5)
    moved = model.mean_shape.numpy() - vertices / 10
    np.testing.assert_allclose(moved - moved[0], 0, atol=1e-5)


def test_folder_and_npz_are_the_same_model(ict_folder, tmp_path):
    folder, vertices, offsets = ict_folder
    np.savez(
        tmp_path / "ict.npz",
        vertices=vertices,
        triangles=np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [26_000, 26_001, 26_002]], np.int32),
        identity=offsets["identity000"][None].astype(np.float32),
        expression=np.stack([offsets["eyeBlink_L"], offsets["jawOpen"]]).astype(np.float32),
        expression_names=np.array(["eyeBlink_L", "jawOpen"]),
    )
    one, other = load_ict(folder), load_ict(tmp_path / "ict.npz")
    assert one.expression_names == other.expression_names
    assert torch.equal(one.triangles, other.triangles)
    for name in ("mean_shape", "identity_basis", "expression_basis"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=1e-5, rtol=0)


def test_a_folder_or_file_that_is_not_ict_is_one_clear_line(tmp_path, ict_folder):
    with pytest.raises(UserError, match=r"no generic_neutral_mesh\.obj"):
        load_ict(tmp_path)
    write_obj(tmp_path / "generic_neutral_mesh.obj", np.zeros((3, 3)))
    with pytest.raises(UserError, match=r"expected identity000\.obj"):
        load_ict(tmp_path)
    write_obj(tmp_path / "identity000.obj", np.zeros((3, 3)))
    write_obj(tmp_path / "jawOpen.obj", np.zeros((4, 3)))
    with pytest.raises(UserError, match=r"jawOpen\.obj: 4 vertices; the neutral mesh has 3"):
        load_ict(tmp_path)
    write_obj(tmp_path / "jawOpen.obj", np.zeros((3, 3)))
    with pytest.raises(UserError, match="3 vertices; ICT-FaceKit has 26719"):
        load_ict(tmp_path)
    (tmp_path / "torn.npz").write_bytes(b"PK torn")
    with pytest.raises(UserError, match="not a readable ICT-FaceKit npz"):
        load_ict(tmp_path / "torn.npz")


@pytest.mark.real
def test_the_real_ict_head(real_data):
    model = load_ict(real_data / "ict_facekit" / "ict_facekit.npz")
    assert model.identity_basis.shape == (100, 26_719, 3)
    assert model.expression_basis.shape == (57, 26_719, 3)
    points = model.mean_shape[model.keypoints]
    torch.testing.assert_close(points[:17, 0], -points[:17, 0].flip(0))
    jaw = model.expression_basis[model.expression_names.index("jawOpen")][model.keypoints]
    assert jaw[8, 1] < -0.1
    assert jaw[27:36].abs().max() < 0.03
    assert points[30, 2] == points[:, 2].max()
