"""Toy actors: the same images each time, differences between people, and what MediaPipe and SFace make of them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from face3d.camera import default_placement, project
from face3d.coefficients import ANGLE, EXPRESSION, IDENTITY, TRANSLATION
from face3d.landmarker import mediapipe_tasks
from toyworld.actors import Actor, make_actor, render_frames
from toyworld.face.head import EXPRESSION_NAMES, expression_vector, procedural_head

PLACE = default_placement(1).numpy()

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


def frames(actor: Actor, expressions: list[dict[str, float]], angles: np.ndarray | None = None, size: int = 64):
    rows = np.repeat(actor.coefficients[None], len(expressions), axis=0)
    rows[:, EXPRESSION] = np.stack([expression_vector(e) for e in expressions])
    if angles is not None:
        rows[:, ANGLE] = angles
    return rows, render_frames(actor, rows, np.repeat(PLACE, len(rows), axis=0), size)


def test_same_name_and_seed_make_the_same_person_and_the_same_bytes() -> None:
    first, again, other = make_actor("M003", 0), make_actor("M003", 0), make_actor("M003", 1)
    assert first.look == again.look != other.look
    np.testing.assert_array_equal(first.coefficients, again.coefficients)
    expressions = [{}, {"jaw_open": 0.5}, {"gaze_left": 1.0}]
    np.testing.assert_array_equal(frames(first, expressions)[1], frames(again, expressions)[1])


def test_a_frame_does_not_depend_on_its_neighbours() -> None:
    actor = make_actor("W009", 0)
    expressions = [{"jaw_open": s} for s in np.linspace(0, 1, 35)]
    together = frames(actor, expressions)[1]
    np.testing.assert_array_equal(frames(actor, expressions[33:34])[1][0], together[33])


def test_pictures_have_the_promised_form() -> None:
    actor = make_actor("W003", 3)
    assert actor.coefficients.shape == (257,)
    assert not actor.coefficients[EXPRESSION].any()
    assert not actor.coefficients[ANGLE].any()
    for size in (64, 160):
        _, pictures = frames(actor, [{}, {}], size=size)
        assert pictures.shape == (2, size, size, 3)
        assert pictures.dtype == np.uint8
        assert pictures.std() > 20
    nothing = render_frames(actor, np.zeros((0, 257), np.float32), np.zeros((0, 3), np.float32), 64)
    assert nothing.shape == (0, 64, 64, 3)


def test_names_decide_the_sex_and_actors_differ() -> None:
    assert make_actor("W015", 0).sex == "W"
    assert make_actor("M030", 0).sex == "M"
    assert len({make_actor(f"M{number:03}", 0).look for number in range(8)}) == 8


def test_the_face_is_where_the_camera_puts_it() -> None:
    """Opening the mouth darkens the image exactly about the projected mouth, and nowhere else than the lower face."""
    actor = make_actor("W021", 0)
    rows, (closed, opened) = frames(actor, [{}, {"jaw_open": 0.6}], size=160)
    head = procedural_head()
    coefficients = torch.from_numpy(rows)
    points = head.shape(coefficients[:, IDENTITY], coefficients[:, EXPRESSION])[:, head.keypoints]
    places = torch.from_numpy(PLACE).expand(2, 3)
    xy, _ = project(points, coefficients[:, ANGLE], coefficients[:, TRANSLATION], places)
    lips = (xy[1, 60:].mean(0).numpy() + 1) * 80
    x, y = lips.astype(int)
    assert opened[y - 2 : y + 3, x - 3 : x + 4].mean() < 0.6 * closed[y - 2 : y + 3, x - 3 : x + 4].mean()
    brow = int((xy[1, 17:27, 1].numpy().mean() + 1) * 80)
    np.testing.assert_array_equal(opened[:brow], closed[:brow])


def test_people_differ_more_than_their_moods() -> None:
    moods = [{}, {"jaw_open": 0.5}, {"lip_corner_puller_left": 1.0, "lip_corner_puller_right": 1.0}]
    pictures = np.stack([frames(make_actor(name, 0), moods)[1] for name in ("M003", "W009", "M030", "W015")]).astype(
        float
    )
    within = np.abs(pictures[:, 1:] - pictures[:, :1]).mean((1, 2, 3, 4)).max()
    between = min(np.abs(pictures[a, 0] - pictures[b, 0]).mean() for a in range(4) for b in range(a))
    assert between > 2 * within


@pytest.mark.real
def test_mediapipe_finds_the_faces_and_reads_their_movements(real_weights: Path) -> None:
    rng = np.random.default_rng(5)

    def people():
        for number in range(8):
            strengths, expressions = random_movements(12, rng)
            angles = rng.normal(0, [0.08, 0.2, 0.06], (12, 3))
            yield strengths, frames(make_actor(f"{'MW'[number % 2]}{number + 200}", 2), expressions, angles, 160)[1]

    assert_movements_are_read(people(), real_weights)


@pytest.mark.real
def test_sface_tells_the_actors_apart(real_weights: Path) -> None:
    head, rng = procedural_head(), np.random.default_rng(7)
    axes = [EXPRESSION_NAMES.index(name) for name in ("jaw_open", "lip_corner_puller_left", "lip_corner_puller_right")]

    def people():
        for number in range(10):
            actor = make_actor(f"{'MW'[number % 2]}{number + 200}", 2)
            rows = np.repeat(actor.coefficients[None], 5, axis=0)
            for axis in axes:
                rows[1:, EXPRESSION.start + axis] = rng.uniform(0, 0.8, 4)
            rows[1:, ANGLE] = rng.normal(0, [0.08, 0.15, 0.05], (4, 3))
            c = torch.from_numpy(rows)
            points = head.shape(c[:, IDENTITY], c[:, EXPRESSION])[:, head.keypoints]
            xy, _ = project(points, c[:, ANGLE], c[:, TRANSLATION], torch.from_numpy(PLACE).expand(5, 3))
            yield render_frames(actor, rows, np.repeat(PLACE, 5, axis=0), 160), xy.numpy()

    assert_people_are_told_apart(people(), real_weights)
