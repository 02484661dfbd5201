"""Toy actors: deterministic pictures, differences between people, and how other networks see them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from strangers_eyes import assert_movements_are_read, assert_people_are_told_apart, random_movements

from face3d.camera import default_placement, project
from face3d.coefficients import ANGLE, EXPRESSION, IDENTITY, TRANSLATION
from toyworld.actors import Actor, make_actor, random_person, render_frames
from toyworld.face.head import EXPRESSION_NAMES, expression_vector, procedural_head

PLACE = default_placement(1).numpy()


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
    actor = random_person(np.random.default_rng(3))
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


def test_names_decide_the_sex_and_random_people_differ() -> None:
    assert make_actor("W015", 0).sex == "W"
    assert make_actor("M030", 0).sex == "M"
    rng = np.random.default_rng(0)
    assert len({random_person(rng).look for _ in range(8)}) == 8


def test_the_face_is_where_the_camera_puts_it() -> None:
    """Opening the mouth darkens the picture exactly about the projected mouth, and nowhere else than the lower face."""
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
