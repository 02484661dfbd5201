"""Networks of the metrics: sizes and crops; MediaPipe and SFace from their own files on real faces."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from skimage.transform import SimilarityTransform

from conventions.errors import UserError
from conventions.weights import load_strictly
from metrics.backbones import judges, sface
from metrics.backbones.mediapipe import MediaPipeLandmarks
from metrics.backbones.protocols import (
    EmotionBackbone,
    IdentityBackbone,
    InceptionBackbone,
    LandmarkBackbone,
    PerceptualBackbone,
    SyncBackbone,
)
from metrics.backbones.sface import SFace
from metrics.backbones.syncnet import SyncNet
from metrics.functional.sync import sync_scores


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_judges_fulfil_their_protocols_at_any_size():
    emotion, identity = judges.EmotionJudge(4).eval(), judges.IdentityJudge(4).eval()
    landmark, sync = judges.LandmarkJudge(4).eval(), judges.SyncJudge(4).eval()
    inception = judges.JudgeFeatures(emotion, identity)
    perceptual = judges.JudgePerceptual(identity.trunk, emotion.trunk)
    roles = {
        LandmarkBackbone: landmark, EmotionBackbone: emotion, IdentityBackbone: identity, SyncBackbone: sync,
        InceptionBackbone: inception, PerceptualBackbone: perceptual,
    }  # fmt: skip
    for protocol, backbone in roles.items():
        assert isinstance(backbone, protocol)
        assert backbone.stand_in
        assert backbone.name
    frames = rand(3, 3, 100, 90)
    assert landmark.landmarks(frames).shape == (3, 68, 2)
    torch.testing.assert_close(emotion.outputs(frames)[1].sum(dim=1), torch.ones(3))
    torch.testing.assert_close(identity.embed(frames).norm(dim=1), torch.ones(3))
    assert inception.features(frames).shape == (3, inception.num_features)
    torch.testing.assert_close(perceptual.distance(frames, frames), torch.zeros(3))
    assert (perceptual.distance(frames, rand(3, 3, 100, 90, seed=1)) > 0).all()


def test_padding_is_as_far_as_an_unrelated_sound_for_the_sync_judge():
    sync = judges.SyncJudge(4).eval()
    audio, video = sync.audio(rand(40, 13, 20)), sync.video(rand(40, 5, 3, 64, 64))
    torch.testing.assert_close(video.norm(dim=1), torch.full((40,), 2**0.5))
    assert sync_scores(audio, video).distance.isfinite()


def test_sync_judge_looks_at_the_lower_half():
    sync = judges.SyncJudge(4).eval()
    frames = rand(2, 5, 3, 64, 64)
    changed = frames.clone()
    changed[..., :32, :] = 0
    torch.testing.assert_close(sync.video(frames), sync.video(changed))


@pytest.fixture(scope="module")
def syncnet() -> SyncNet:
    torch.manual_seed(0)
    return SyncNet().eval()


def test_syncnet_has_the_tensors_of_the_official_file(syncnet):
    shapes = {name: tuple(tensor.shape) for name, tensor in syncnet.state_dict().items()}
    expected = {
        "netcnnaud.0.weight": (64, 1, 3, 3), "netcnnaud.4.weight": (192, 64, 3, 3),
        "netcnnaud.8.weight": (384, 192, 3, 3), "netcnnaud.11.weight": (256, 384, 3, 3),
        "netcnnaud.14.weight": (256, 256, 3, 3), "netcnnaud.18.weight": (512, 256, 5, 4),
        "netfcaud.0.weight": (512, 512), "netfcaud.3.weight": (1024, 512), "netfclip.3.weight": (1024, 512),
        "netcnnlip.0.weight": (96, 3, 5, 7, 7), "netcnnlip.4.weight": (256, 96, 1, 5, 5),
        "netcnnlip.8.weight": (256, 256, 1, 3, 3), "netcnnlip.11.weight": (256, 256, 1, 3, 3),
        "netcnnlip.14.weight": (256, 256, 1, 3, 3), "netcnnlip.18.weight": (512, 256, 1, 6, 6),
        "netcnnlip.19.running_mean": (512,),
    }  # fmt: skip
    assert {name: shapes.get(name) for name in expected} == expected
    assert len(shapes) == 102


def test_syncnet_sees_bgr_in_0_to_255(syncnet):
    frames = torch.zeros(1, 5, 3, 224, 224)
    frames[:, :, 0] = 1
    pixels = torch.full((1, 3, 5, 224, 224), 127.5)
    pixels[:, 2] = 255
    with torch.no_grad():
        expected = syncnet.netfclip(syncnet.netcnnlip(pixels).flatten(1))
        torch.testing.assert_close(syncnet.video(frames), expected)
        assert syncnet.audio(rand(2, 13, 20)).shape == (2, 1024)


def test_syncnet_loads_its_own_file_and_names_what_is_wrong(syncnet, tmp_path):
    state = {name: value for name, value in syncnet.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert len(state) == 88, "the official file is older than batch norm's counters"
    torch.save(state, tmp_path / "good.model")
    loaded = SyncNet(tmp_path / "good.model")
    torch.testing.assert_close(loaded.netfcaud[3].weight, syncnet.netfcaud[3].weight)
    torch.save(state | {"netfcaud.3.weight": torch.zeros(7, 512)}, tmp_path / "shape.model")
    with pytest.raises(UserError, match=r"netfcaud\.3\.weight.*\(7, 512\), expected \(1024, 512\)"):
        SyncNet(tmp_path / "shape.model")
    with pytest.raises(UserError, match=r"no such file; get syncnet_v2\.model from http"):
        SyncNet(tmp_path / "absent.model")
    (tmp_path / "cut.model").write_bytes((tmp_path / "good.model").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"no plain PyTorch tensors.*get syncnet_v2\.model"):
        SyncNet(tmp_path / "cut.model")


def test_missing_and_unknown_tensors_are_named(tmp_path):
    layer = torch.nn.Linear(2, 2)
    with pytest.raises(UserError, match="'bias' is missing"):
        load_strictly(layer, {"weight": layer.weight}, tmp_path)
    with pytest.raises(UserError, match="'more' is unknown"):
        load_strictly(layer, {**layer.state_dict(), "more": layer.bias}, tmp_path)
    norm = torch.nn.Sequential(torch.nn.BatchNorm1d(2))
    state = norm.state_dict()
    del state["0.num_batches_tracked"]
    load_strictly(norm, state, tmp_path)
    del state["0.running_var"]
    with pytest.raises(UserError, match=r"'0\.running_var' is missing"):
        load_strictly(norm, state, tmp_path)


def test_similarity_is_that_of_skimage():
    source, target = rand(4, 5, 2), rand(4, 5, 2, seed=1)
    found = sface.similarity(source, target)
    for index in range(4):
        expected = SimilarityTransform.from_estimate(source[index].double().numpy(), target[index].double().numpy())
        reflected = np.linalg.det(expected.params[:2, :2]) < 0
        assert not reflected
        np.testing.assert_allclose(found[index], expected.params[:2], atol=1e-5)


def test_crops_put_the_five_points_on_the_template():
    template = torch.tensor(sface.ARCFACE_TEMPLATE)
    angle, scale, shift = 0.3, 0.8, torch.tensor([30.0, 20.0])
    rotation = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).float()
    points = (template + 0.5) @ rotation.T * scale + shift
    landmarks = torch.zeros(1, 68, 2)
    for rows, point in zip((slice(36, 42), slice(42, 48), 30, 48, 54), points, strict=True):
        landmarks[0, rows] = point / torch.tensor([160.0, 140.0]) * 2 - 1
    ys, xs = torch.meshgrid(torch.arange(140) + 0.5, torch.arange(160) + 0.5, indexing="ij")
    images = torch.stack([xs / 160, ys / 140, torch.zeros_like(xs)])[None]
    crop = sface.arcface_crops(images, landmarks)[0]
    for (x, y), point in zip(sface.ARCFACE_TEMPLATE, points, strict=True):
        seen = crop[:2, round(y), round(x)] * torch.tensor([160.0, 140.0])
        assert (seen - point).norm() < 1


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


@pytest.mark.real
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


@pytest.mark.real
def test_landmarks_follow_a_shift_and_do_not_depend_on_other_frames(landmarker, speakers):
    frames = next(iter(speakers.values()))[:2]
    shifted = torch.roll(frames, 16, dims=3)
    moved = landmarker.landmarks(shifted) - landmarker.landmarks(frames)
    assert (moved[..., 0].mean() - 2 * 16 / frames.shape[3]).abs() < 0.01
    torch.testing.assert_close(landmarker.landmarks(frames)[1:], landmarker.landmarks(frames[1:]))


@pytest.mark.real
def test_a_frame_without_a_face_is_nan(landmarker):
    assert landmarker.landmarks(torch.zeros(1, 3, 128, 128)).isnan().all()


@pytest.mark.real
def test_sface_separates_speakers(landmarker, speakers, real_weights):
    network = SFace(real_weights / "face_recognition_sface.onnx")
    found = [network.embed(frames, landmarker.landmarks(frames)) for frames in speakers.values()]
    embedded = [torch.nn.functional.normalize(one, dim=1) for one in found]
    same = torch.cat([(e @ e.T)[torch.triu_indices(len(e), len(e), 1).unbind()] for e in embedded])
    other = torch.cat([(a @ b.T).flatten() for i, a in enumerate(embedded) for b in embedded[i + 1 :]])
    assert same.min() > 0.6
    assert other.max() < 0.45
    assert network.embed(torch.zeros(1, 3, 128, 128), torch.full((1, 68, 2), torch.nan)).isnan().all()


@pytest.mark.real
def test_a_changed_file_is_refused(real_weights, tmp_path):
    path = tmp_path / "face_landmarker.task"
    path.write_bytes((real_weights / "face_landmarker.task").read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"SHA-256 is .*, expected .*storage\.googleapis"):
        MediaPipeLandmarks(path)


@pytest.mark.real
def test_a_file_that_is_no_onnx_is_refused(tmp_path):
    (tmp_path / "sface.onnx").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"sface\.onnx: is not an ONNX network"):
        SFace(tmp_path / "sface.onnx")


@pytest.mark.real
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
