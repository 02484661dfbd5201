"""What networks trained on real faces have to make of toy actors: MediaPipe of movements, SFace of who they are."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from face3d.landmarker import mediapipe_tasks

WATCHED = {
    "jaw": (("jaw_open",), ("jawOpen",), 0.7),
    "smile": (("lip_corner_puller_left", "lip_corner_puller_right"), ("mouthSmileLeft", "mouthSmileRight"), 0.6),
    "brows": (
        tuple(f"{part}_brow_raiser_{side}" for part in ("inner", "outer") for side in ("left", "right")),
        ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
        0.5,
    ),
    "eyes": (("eye_closure_left", "eye_closure_right"), ("eyeBlinkLeft", "eyeBlinkRight"), 0.5),
}
"""Movements, MediaPipe's scores for them, and the rank correlation that is asked for."""

ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])

Strengths = dict[str, np.ndarray]


def random_movements(count: int, rng: np.random.Generator) -> tuple[Strengths, list[dict[str, float]]]:
    """Strengths of each watched movement, 40 % of them none, and the expressions that have them."""
    strengths = {name: rng.uniform(0, 1, count) * (rng.random(count) < 0.6) for name in WATCHED}
    expressions = [
        {axis: float(strengths[name][t]) for name, (axes, _, _) in WATCHED.items() for axis in axes}
        for t in range(count)
    ]
    return strengths, expressions


def assert_movements_are_read(people: Iterable[tuple[Strengths, np.ndarray]], weights: Path) -> None:
    """MediaPipe finds the faces of `people` (strengths and uint8 frames), and its scores follow the strengths."""
    stats = pytest.importorskip("scipy.stats")
    mediapipe = pytest.importorskip("mediapipe")
    vision, base = mediapipe_tasks()
    options = vision.FaceLandmarkerOptions(
        base_options=base(model_asset_path=str(weights / "face_landmarker.task")), output_face_blendshapes=True
    )
    found, total = 0, 0
    asked, read = {name: [] for name in WATCHED}, {name: [] for name in WATCHED}
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for strengths, pictures in people:
            for t, picture in enumerate(pictures):
                result = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture))
                total += 1
                if not result.face_landmarks:
                    continue
                found += 1
                scores = {c.category_name: c.score for c in result.face_blendshapes[0]}
                for name, (_, shapes, _) in WATCHED.items():
                    asked[name].append(strengths[name][t])
                    read[name].append(np.mean([scores[shape] for shape in shapes]))
    assert found >= 0.95 * total
    for name, (_, _, least) in WATCHED.items():
        assert stats.spearmanr(asked[name], read[name])[0] >= least, name


def _aligned(picture: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    from skimage.transform import SimilarityTransform, warp

    five = np.stack([keypoints[36:42].mean(0), keypoints[42:48].mean(0), keypoints[30], keypoints[48], keypoints[54]])
    transform = SimilarityTransform.from_estimate(ARCFACE, (five + 1) / 2 * len(picture) - 0.5)
    return (warp(picture / 255.0, transform, output_shape=(112, 112)) * 255).transpose(2, 0, 1)[None].astype(np.float32)


def assert_people_are_told_apart(people: Iterable[tuple[np.ndarray, np.ndarray]], weights: Path) -> None:
    """SFace's similarities of one person's frames stand above those of two; frames uint8 and keypoints [t, 68, 2]."""
    runtime = pytest.importorskip("onnxruntime")
    metrics = pytest.importorskip("sklearn.metrics")
    session = runtime.InferenceSession(str(weights / "face_recognition_sface.onnx"), providers=["CPUExecutionProvider"])
    vectors, who = [], []
    for number, (pictures, keypoints) in enumerate(people):
        for picture, points in zip(pictures, keypoints, strict=True):
            vector = session.run(None, {session.get_inputs()[0].name: _aligned(picture, points)})[0][0]
            vectors.append(vector / np.linalg.norm(vector))
            who.append(number)
    similar, person = np.array(vectors) @ np.array(vectors).T, np.array(who)
    pairs = np.triu_indices(len(who), 1)
    assert metrics.roc_auc_score((person[:, None] == person)[pairs], similar[pairs]) >= 0.95
