"""HSEmotion from a file of its makers' layout: a small graph instead of EfficientNet, the same input, names and end."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_writer import emotion_network
from PIL import Image
from scipy.special import softmax

from conventions.emotions import EMOTIONS
from conventions.errors import UserError
from metrics.backbones import hsemotion
from metrics.backbones.hsemotion import HSEmotion, face_boxes, face_crops
from metrics.backbones.protocols import EmotionBackbone

RANDOM = np.random.default_rng(0)
FEATURES, CLASSIFIER, BIAS = RANDOM.normal(size=(3, 1280)), RANDOM.normal(size=(1280, 8)) / 40, RANDOM.normal(size=8)
BOX = (40, 30, 120, 110)
"""Left, top, right, bottom of the face of `Faces`, forehead included, in px of a frame of 160 x 140."""


class Faces:
    """A face in every frame but the black ones."""

    name, stand_in = "faces", False

    def landmarks(self, images: torch.Tensor) -> torch.Tensor:
        left, top, right, bottom = BOX
        brows = (top + hsemotion.FOREHEAD * bottom) / (1 + hsemotion.FOREHEAD) + 0.01
        corners = torch.tensor([[left + 0.01, brows], [right + 0.01, bottom + 0.01]])
        points = corners.repeat(34, 1) / torch.tensor([160.0, 140.0]) * 2 - 1
        dark = images.flatten(1).amax(dim=1) <= -1
        return torch.where(dark[:, None, None], torch.nan, points.expand(len(images), -1, -1))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hsemotion") / "enet_b0_8_best_vgaf.onnx"
    path.write_bytes(emotion_network(FEATURES, CLASSIFIER, BIAS))
    return path


def pictures(count: int = 3) -> np.ndarray:
    """uint8 [t, 140, 160, 3]; smooth, unlike each other."""
    small = RANDOM.integers(0, 256, (count, 14, 16, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(picture).resize((160, 140))) for picture in small])


def as_images(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def test_classes_stand_in_our_order() -> None:
    ours = {
        "Anger": "angry", "Contempt": "contempt", "Disgust": "disgusted", "Fear": "fear", "Happiness": "happy",
        "Neutral": "neutral", "Sadness": "sad", "Surprise": "surprised",
    }  # fmt: skip
    assert tuple(ours[name] for name in hsemotion.CLASSES) == EMOTIONS


def test_features_are_what_the_classifier_is_given_of_the_normalised_face(file: Path) -> None:
    frames = pictures()
    frames[1] = 0
    network = HSEmotion(file)
    assert isinstance(network, EmotionBackbone)
    images = as_images(frames)
    features, probabilities = network.outputs(images, Faces().landmarks(images))
    assert features[1].isnan().all()
    assert probabilities[1].isnan().all()
    for index in (0, 2):
        face = np.asarray(Image.fromarray(frames[index]).crop(BOX).resize((224, 224), Image.Resampling.BILINEAR))
        colours = (face.mean(axis=(0, 1)) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        np.testing.assert_allclose(features[index], colours @ FEATURES, atol=0.03)
        expected = softmax(np.asarray(features[index]) @ CLASSIFIER + BIAS)
        np.testing.assert_allclose(probabilities[index], expected, atol=1e-5)


def test_each_class_follows_its_own_score(tmp_path: Path) -> None:
    for index in range(8):
        path = tmp_path / f"{index}.onnx"
        path.write_bytes(emotion_network(FEATURES, CLASSIFIER, BIAS + 100 * np.eye(8)[index]))
        images = as_images(pictures(1))
        _, found = HSEmotion(path).outputs(images, Faces().landmarks(images))
        assert found.shape == (1, 8)
        assert found.argmax() == index


@pytest.mark.parametrize("larger", [1, 6])
def test_crops_are_those_of_pil(larger: int) -> None:
    frames = np.stack([Image.fromarray(picture).resize((160 * larger, 140 * larger)) for picture in pictures(2)])
    frames = frames ^ RANDOM.integers(0, 16, frames.shape, dtype=np.uint8)
    crops = face_crops(as_images(frames), Faces().landmarks(as_images(frames)))
    box = tuple(larger * side for side in BOX)
    for frame, crop in zip(frames, crops, strict=True):
        face = Image.fromarray(frame).crop(box).resize((224, 224), Image.Resampling.BILINEAR)
        assert np.abs((crop.permute(1, 2, 0).numpy() + 1) * 127.5 - np.asarray(face)).max() < 1.1


def test_boxes_reach_above_the_brows_and_stay_in_the_frame() -> None:
    landmarks = torch.zeros(4, 68, 2)
    landmarks[0, 0], landmarks[0, 1] = torch.tensor([-0.5, -0.5]), torch.tensor([0.5, 0.5])
    landmarks[1, 0], landmarks[1, 1] = torch.tensor([-1.5, -1.0]), torch.tensor([0.5, 1.2])
    landmarks[2] = torch.nan
    landmarks[3] = 2.0
    boxes = face_boxes(landmarks, 200, 100)
    assert boxes[0] == (50, 18, 150, 75)
    assert boxes[1] == (0, 0, 150, 100)
    assert boxes[2] == (0, 0, 0, 0)
    crops = face_crops(torch.ones(4, 3, 100, 200), landmarks)
    assert crops[:2].isfinite().all()
    assert crops[2:].isnan().all()


def test_a_file_of_another_layout_is_one_line(file: Path, tmp_path: Path) -> None:
    source = r"get enet_b0_8_best_vgaf\.onnx from https://github\.com/sb-ai-lab/EmotiEffLib"

    def refused(content: bytes) -> str:
        path = tmp_path / "other.onnx"
        path.write_bytes(content)
        with pytest.raises(UserError) as error:
            HSEmotion(path)
        assert "\n" not in str(error.value)
        return str(error.value).removeprefix(str(path))

    seven = emotion_network(FEATURES, CLASSIFIER[:, :7], BIAS[:7])
    assert refused(seven).startswith(
        ": gives (7,) and (1280,), expected 8 scores and 1280 features of 224 px; get enet"
    )
    b2 = emotion_network(RANDOM.normal(size=(3, 1408)), RANDOM.normal(size=(1408, 8)), BIAS, size=260)
    assert refused(b2).startswith(": gives (8,) and (1408,), expected 8 scores and 1280 features of 224 px; get enet")
    good = file.read_bytes()
    assert (
        refused(good.replace(b"Gemm", b"Relu"))
        == ": its last layer is Relu, expected the classifier, a dense layer (Gemm)"
    )
    assert "unknown layer Gemx" in refused(good.replace(b"Gemm", b"Gemx"))
    assert refused(good[:-200]).startswith(": is not an ONNX network")
    assert refused(b"").startswith(": is not an ONNX network (it has no layers)")
    assert refused(b"nothing at all").startswith(": is not an ONNX network")
    with pytest.raises(UserError, match=rf"absent\.onnx: no such file; {source}"):
        HSEmotion(tmp_path / "absent.onnx")
