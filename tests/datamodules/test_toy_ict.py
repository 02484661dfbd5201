"""The toy world on ICT-FaceKit: movements, people, what strangers' eyes make of them, and the files of such a world."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat
from strangers_eyes import assert_movements_are_read, assert_people_are_told_apart, random_movements

import datamodules.toy_mead.world as world_module
from conventions.errors import UserError
from datamodules.prepare import prepare
from datamodules.store import Store
from datamodules.toy_mead.actors import make_actor
from datamodules.toy_mead.ict_actors import IctActor, in_ict_axes, make_ict_actor, render_ict_frames
from datamodules.toy_mead.ict_head import ict_head
from datamodules.toy_mead.ict_movements import movement_map
from datamodules.toy_mead.pairs import PairSet
from datamodules.toy_mead.performance import perform
from datamodules.toy_mead.plan import PRESETS, clips_of
from datamodules.toy_mead.world import write_toy_mead
from emospace.cli import main
from face3d.camera import default_placement, project
from face3d.coefficients import ANGLE, EXPRESSION, GAMMA, IDENTITY, TRANSLATION
from face3d.morphable import MorphableModel, keypoint_model, load_model
from face3d.procedural import EXPRESSION_NAMES, expression_vector, procedural_head

PLACE = default_placement(1).numpy()


@pytest.fixture(scope="module")
def path(real_data: Path) -> Path:
    """The user's ICT-FaceKit."""
    file = real_data / "ict_facekit" / "ict_facekit.npz"
    if not file.is_file():
        pytest.skip(f"{file} is not here")
    return file


@pytest.fixture(scope="module")
def model(path: Path) -> MorphableModel:
    """ICT-FaceKit's 68 landmarks."""
    return keypoint_model(load_model("ict", path))


def both(name: str, strength: float = 1.0) -> dict[str, float]:
    return {f"{name}_left": strength, f"{name}_right": strength}


def rows_of(actor: IctActor, expressions: list[dict[str, float]]) -> np.ndarray:
    rows = np.repeat(actor.coefficients[None], len(expressions), axis=0)
    rows[:, EXPRESSION] = np.stack([expression_vector(e) for e in expressions])
    return in_ict_axes(actor, rows)


def landmarks(model: MorphableModel, rows: np.ndarray) -> np.ndarray:
    c = torch.from_numpy(rows)
    points = model.shape(c[:, IDENTITY], c[:, EXPRESSION])
    places = torch.from_numpy(PLACE).expand(len(rows), 3)
    return project(points, c[:, ANGLE], c[:, TRANSLATION], places)[0].numpy()


def render(actor: IctActor, rows: np.ndarray, size: int = 160) -> np.ndarray:
    return render_ict_frames(actor, rows, np.repeat(PLACE, len(rows), axis=0), size)


@pytest.mark.real
def test_every_named_movement_moves_something(path: Path) -> None:
    table = movement_map(ict_head(path).expression_names)
    still = {name for name, row in zip(EXPRESSION_NAMES, table, strict=True) if not row.any()}
    assert still == {name for name in EXPRESSION_NAMES if name.startswith("residual")} | {"tongue_up", "tongue_out"}


_DIRECTIONS = {
    "jaw": ({"jaw_open": 1.0}, [8, 57, 66], (0, -1)),
    "jaw left": ({"jaw_left": 1.0}, [8], (1, 0)),
    "smile, left": ({"lip_corner_puller_left": 1.0}, [54], (1, 1)),
    "smile, right": ({"lip_corner_puller_right": 1.0}, [48], (-1, 1)),
    "frown": (both("lip_corner_depressor"), [48, 54], (0, -1)),
    "pucker, left": ({"lip_pucker": 1.0}, [54], (-1, 0)),
    "stretch, left": ({"lip_stretcher_left": 1.0}, [54], (1, 0)),
    "inner brows": (both("inner_brow_raiser"), [21, 22], (0, 1)),
    "outer brows": (both("outer_brow_raiser"), [18, 25], (0, 1)),
    "brows down": (both("brow_lowerer"), [20, 23], (0, -1)),
    "blink": (both("eye_closure"), [37, 38, 43, 44], (0, -1)),
    "wide": (both("upper_lid_raiser"), [37, 38, 43, 44], (0, 1)),
    "upper lip": (both("upper_lip_raiser"), [50, 52], (0, 1)),
    "lower lip": (both("lower_lip_depressor"), [56, 58], (0, -1)),
}
"""A movement, landmarks, and where these go (x to the image's right, y up)."""


@pytest.mark.real
@pytest.mark.parametrize("name", _DIRECTIONS)
def test_movements_go_where_the_procedural_heads_go(name: str, model: MorphableModel) -> None:
    movement, points, direction = _DIRECTIONS[name]
    expression = torch.from_numpy(expression_vector(movement))
    weights = expression @ torch.from_numpy(movement_map(model.expression_names))
    moved = (weights[None] @ model.expression_basis.flatten(1)).view(68, 3)[points, :2].numpy()
    head = keypoint_model(procedural_head())
    asked = (expression[None] @ head.expression_basis.flatten(1)).view(68, 3)[points, :2].numpy()
    along = np.array(direction) / np.linalg.norm(direction)
    assert (moved @ along > 0.01).all()
    assert 0.35 < (moved @ along).mean() / (asked @ along).mean() < 1.6


@pytest.mark.real
def test_actors_keep_name_look_and_light_and_get_another_face(path: Path) -> None:
    actor, again, other = (make_ict_actor(name, 0, path) for name in ("M003", "M003", "W009"))
    np.testing.assert_array_equal(actor.coefficients, again.coefficients)
    assert actor.look == again.look != other.look
    assert np.abs(actor.coefficients[IDENTITY] - other.coefficients[IDENTITY]).mean() > 0.3
    rows = rows_of(actor, [{}, {"jaw_open": 0.6}, {"gaze_left": 1.0}])
    first, second = render(actor, rows, 64), render(again, rows, 64)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(render(actor, rows[2:], 64)[0], first[2])
    assert first.shape == (3, 64, 64, 3)
    assert (first[0] != first[1]).any()
    assert (first[0] != first[2]).any()


@pytest.mark.real
def test_the_mouth_opens_where_the_model_has_it(path: Path, model: MorphableModel) -> None:
    actor = make_ict_actor("W021", 0, path)
    rows = rows_of(actor, [{}, {"jaw_open": 0.7}])
    closed, opened = render(actor, rows)
    points = landmarks(model, rows)
    x, y = ((points[1, 60:].mean(0) + 1) * 80).astype(int)
    about = (slice(y - 2, y + 3), slice(x - 3, x + 4))
    assert opened[about].mean() < 0.6 * closed[about].mean()
    brow = int((points[1, 17:27, 1].mean() + 1) * 80)
    assert np.abs(opened[:brow].astype(int) - closed[:brow]).mean() < 1


@pytest.mark.slow
@pytest.mark.real
def test_mediapipe_finds_the_faces_and_reads_their_movements(path: Path, real_weights: Path) -> None:
    rng = np.random.default_rng(5)

    def people():
        for number in range(6):
            strengths, expressions = random_movements(8, rng)
            actor = make_ict_actor(f"{'MW'[number % 2]}{number + 200}", 2, path)
            rows = rows_of(actor, expressions)
            rows[:, ANGLE] = rng.normal(0, [0.08, 0.2, 0.06], (8, 3))
            yield strengths, render(actor, rows)

    assert_movements_are_read(people(), real_weights)


@pytest.mark.slow
@pytest.mark.real
def test_sface_tells_the_actors_apart(path: Path, model: MorphableModel, real_weights: Path) -> None:
    rng = np.random.default_rng(7)

    def people():
        for number in range(8):
            actor = make_ict_actor(f"{'MW'[number % 2]}{number + 200}", 2, path)
            moods = [{"jaw_open": a} | both("lip_corner_puller", b) for a, b in rng.uniform(0, 0.8, (3, 2))]
            rows = rows_of(actor, [{}, *moods])
            rows[1:, ANGLE] = rng.normal(0, [0.08, 0.15, 0.05], (3, 3))
            yield render(actor, rows), landmarks(model, rows)

    assert_people_are_told_apart(people(), real_weights)


@pytest.fixture(scope="module")
def world(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips, a portrait and a few people's pictures on ICT-FaceKit."""
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("ict")
    people = {"prior": 1, "judge": 1, "critic": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", replace(PRESETS["tiny"], people=people, portraits=1))
        patch.setattr(world_module, "clips_of", lambda preset, seed: clips_of(preset, seed)[20:22])
        write_toy_mead(folder, preset="tiny", size=96, workers=1, head="ict", ict=path)
        with pytest.raises(UserError, match="head ict, not procedural"):
            write_toy_mead(folder, preset="tiny", size=96, workers=1)
    return folder


@pytest.mark.real
def test_a_world_differs_in_its_heads_coefficients_alone(world: Path, model: MorphableModel) -> None:
    clip = clips_of("tiny", 0)[20]
    content = loadmat((world / clip.video).with_suffix(".mat"))
    actor = make_actor(clip.actor, 0)
    shown = perform(clip.actor, actor.coefficients, clip.text, clip.emotion, clip.level, 0, clip.number)
    same = np.r_[ANGLE, GAMMA, TRANSLATION]
    np.testing.assert_array_equal(content["coeff"][:, same], shown.coefficients[:, same])
    expected = shown.coefficients[:, EXPRESSION] @ movement_map(model.expression_names)
    moved = content["coeff"][:, EXPRESSION][:, : len(model.expression_names)] - expected
    assert np.ptp(moved, axis=0).max() < 1e-5
    assert content["model"].item() == "ict"
    assert PairSet(world, "judge").model == "ict"
    assert "ICT-FaceKit" in (world / "README.txt").read_text()


@pytest.mark.real
def test_a_world_is_prepared_with_no_switch_and_no_weights(
    world: Path, model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EMOSPACE_WEIGHTS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    prepare(world, tmp_path / "store", coefficients="mat", size=64, look=False)
    store = Store(tmp_path / "store")
    assert store.coefficient_model == "ict"
    assert len(store.clips) == 2
    assert all(clip.has_landmarks for clip in store.clips)
    c = torch.from_numpy(np.array(store.coefficients))
    points = model.shape(c[:, IDENTITY], c[:, EXPRESSION])
    places = torch.from_numpy(np.array(store.placement))
    truth = project(points, c[:, ANGLE], c[:, TRANSLATION], places)[0].numpy()
    np.testing.assert_allclose(store.landmarks, truth, atol=1e-3)


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--head", "ict"], ["--head", "ict", "--ict", str(tmp_path / "nothing.npz")]):
        assert main(["toy", str(tmp_path / "world"), *words]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "https://github.com/ICT-VGL/ICT-FaceKit" in line
    assert main(["toy", str(tmp_path / "world"), "--ict", "x.npz"]) == 2
    assert "--head ict" in capsys.readouterr().err
    assert not (tmp_path / "world").exists()
