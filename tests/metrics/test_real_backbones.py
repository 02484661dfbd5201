"""MediaPipe and SFace from their own files on real faces (EMOSPACE_REAL_DATA, EMOSPACE_WEIGHTS)."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from conventions.errors import UserError
from metrics.backbones.mediapipe import MediaPipeLandmarks
from metrics.backbones.sface import SFace

pytestmark = pytest.mark.real


def read_frames(path: Path, every: int, count: int) -> torch.Tensor:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    chosen = np.stack(frames[::every][:count])
    return torch.from_numpy(chosen).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="module")
def landmarker(real_weights: Path) -> MediaPipeLandmarks:
    return MediaPipeLandmarks(real_weights / "face_landmarker.task")


@pytest.fixture(scope="module")
def speakers(real_data: Path) -> dict[str, torch.Tensor]:
    return {path.stem: read_frames(path, 20, 4) for path in sorted((real_data / "talking").glob("*.mp4"))[:3]}


def test_landmarks_lie_where_a_face_has_them(landmarker, speakers):
    for frames in speakers.values():
        found = landmarker.landmarks(frames)
        assert found.isfinite().all()
        eyes = found[:, 42:48].mean(dim=1) - found[:, 36:42].mean(dim=1)
        assert (eyes[:, 0] > 0.2).all()
        mouth, nose = found[:, 48:68].mean(dim=1), found[:, 30]
        assert (mouth[:, 1] > nose[:, 1]).all()
        assert (nose[:, 1] > found[:, 36:48, 1].mean(dim=1)).all()
        assert (found[:, 54, 0] > found[:, 48, 0]).all()
        assert (found[:, 8, 1] > found[:, 57, 1]).all()
        assert (found[:, 0, 0] < found[:, 36, 0]).all()
        assert (found[:, 16, 0] > found[:, 45, 0]).all()


def test_landmarks_follow_a_shift_and_do_not_depend_on_other_frames(landmarker, speakers):
    frames = next(iter(speakers.values()))[:2]
    shifted = torch.roll(frames, 16, dims=3)
    moved = landmarker.landmarks(shifted) - landmarker.landmarks(frames)
    assert (moved[..., 0].mean() - 2 * 16 / frames.shape[3]).abs() < 0.01
    torch.testing.assert_close(landmarker.landmarks(frames)[1:], landmarker.landmarks(frames[1:]))


def test_a_frame_without_a_face_is_nan(landmarker):
    assert landmarker.landmarks(torch.zeros(1, 3, 128, 128)).isnan().all()


def test_sface_separates_speakers(landmarker, speakers, real_weights):
    network = SFace(real_weights / "face_recognition_sface.onnx")
    found = [network.embed(frames, landmarker.landmarks(frames)) for frames in speakers.values()]
    embedded = [torch.nn.functional.normalize(one, dim=1) for one in found]
    same = torch.cat([(e @ e.T)[torch.triu_indices(len(e), len(e), 1).unbind()] for e in embedded])
    other = torch.cat([(a @ b.T).flatten() for i, a in enumerate(embedded) for b in embedded[i + 1 :]])
    assert same.min() > 0.6
    assert other.max() < 0.45
    assert network.embed(torch.zeros(1, 3, 128, 128), torch.full((1, 68, 2), torch.nan)).isnan().all()


def test_a_changed_file_is_refused(real_weights, tmp_path):
    path = tmp_path / "face_landmarker.task"
    path.write_bytes((real_weights / "face_landmarker.task").read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"SHA-256 is .*, expected .*storage\.googleapis"):
        MediaPipeLandmarks(path)


def test_a_file_that_is_no_onnx_is_refused(tmp_path):
    (tmp_path / "sface.onnx").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"sface\.onnx: is not an ONNX network"):
        SFace(tmp_path / "sface.onnx")


def test_sface_in_torch_is_that_of_onnx_runtime_with_gradients(real_weights):
    import onnxruntime

    path = real_weights / "face_recognition_sface.onnx"
    crops = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1
    reference = onnxruntime.InferenceSession(str(path))
    expected = [reference.run(None, {"data": ((crop[None] + 1) * 127.5).numpy()})[0] for crop in crops]
    crops.requires_grad_()
    found = SFace(path).embed_crops(crops)
    np.testing.assert_allclose(found.detach(), np.concatenate(expected), atol=1e-4)
    found.square().sum().backward()
    assert crops.grad is not None
    assert (crops.grad.abs().flatten(1).sum(dim=1) > 0).all()
