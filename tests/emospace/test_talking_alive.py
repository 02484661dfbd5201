"""Blinks, gaze and natural motion: at human rates, within stated bounds, seeded, and the same in any pieces."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from conventions.rates import VIDEO_FPS
from datamodules.mead import Reference
from emospace.talking.motion import (
    GAZE_DEGREES,
    LOWER_LIDS,
    SHORTEST_PAUSE,
    UPPER_LIDS,
    Blinks,
    Gaze,
    Lids,
    Liveliness,
    Motion,
    Sway,
    blink_direction,
    gaze_change,
)
from face3d.camera import default_placement
from face3d.coefficients import ANGLE, EXPRESSION, NUM_COEFFICIENTS
from face3d.morphable import MorphableModel, load_model

MINUTES = 30
FRAMES = MINUTES * 60 * VIDEO_FPS


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return load_model("procedural-v1")


def blinks(intensity: float, seed: int = 0) -> np.ndarray:
    return Blinks(seed).next(np.full(FRAMES, intensity, np.float32))


def runs(closed: np.ndarray) -> list[int]:
    """Lengths of the blinks in frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], closed > 0, [0]]).astype(int)))
    return (edges[1::2] - edges[::2]).tolist()


@pytest.mark.parametrize(("intensity", "expected"), [(0.0, 20.0), (3.0, 30.0)])
def test_blinks_come_at_human_rates_and_more_often_under_stress(intensity: float, expected: float) -> None:
    lengths = runs(blinks(intensity))
    assert len(lengths) / MINUTES == pytest.approx(expected, rel=0.15)
    assert min(lengths) >= 3
    assert max(lengths) <= 9


def test_each_blink_closes_the_eyes_and_they_rest_between() -> None:
    closed = blinks(1.0)
    starts = np.flatnonzero((closed > 0) & (np.roll(closed, 1) == 0))
    peaks = [closed[start : start + 9].max() for start in starts[1:-1]]
    assert np.mean(np.array(peaks) > 0.8) > 0.95
    assert np.diff(starts).min() >= SHORTEST_PAUSE * VIDEO_FPS
    assert closed.max() <= 1


@pytest.mark.parametrize("seed", [0, 1])
def test_pieces_make_no_difference_but_seeds_do(seed: int) -> None:
    ones, energy = np.ones(500, np.float32), np.random.default_rng(0).uniform(0, 30, 500).astype(np.float32)
    made = [Blinks(seed).next(ones), Gaze(seed).next(500), Sway(seed).next(energy)]
    parts = [Blinks(seed), Gaze(seed), Sway(seed)]
    pieces: list[list[np.ndarray]] = [[], [], []]
    for start in range(0, 500, 7):
        piece = slice(start, min(start + 7, 500))
        given = (ones[piece], len(ones[piece]), energy[piece])
        for kept, part, value in zip(pieces, parts, given, strict=True):
            kept.append(part.next(value))  # pyright: ignore[reportArgumentType]
    for whole, kept in zip(made, pieces, strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(kept))
    others = [Blinks(seed + 5).next(ones), Gaze(seed + 5).next(500), Sway(seed + 5).next(energy)]
    assert all(np.abs(a - b).max() > 0 for a, b in zip(made, others, strict=True))


def test_gaze_rests_and_jumps_by_a_few_degrees() -> None:
    places = Gaze(0).next(FRAMES)
    jumps = np.abs(np.diff(places, axis=0)).max(1) > 0
    assert 30 < jumps.sum() / MINUTES < 75
    assert np.abs(places).max() <= 2 * max(GAZE_DEGREES)


def test_the_head_starts_at_rest_and_moves_more_while_it_speaks() -> None:
    quiet, loud = (Sway(0).next(np.full(FRAMES // 10, level, np.float32)) for level in (0.0, 22.0))
    assert np.abs(loud[0]).max() < 1e-9
    assert np.degrees(np.abs(np.diff(loud, axis=0)).max()) < 1.0, "no jump"
    assert loud[100:].std() > 1.5 * quiet[100:].std()
    assert np.degrees(np.abs(loud).max()) < 12


def lid_gap(model: MorphableModel, row: torch.Tensor) -> float:
    points = model.shape(row[None, :80], row[None, EXPRESSION])[0, model.keypoints]
    return float((points[list(UPPER_LIDS)] - points[list(LOWER_LIDS)])[:, 1].abs().mean())


@pytest.mark.parametrize("named", [True, False])
def test_a_blink_closes_the_lids_of_any_face_model(head: MorphableModel, named: bool) -> None:
    model = head if named else replace(head, expression_names=())
    row = 0.3 * torch.randn(NUM_COEFFICIENTS, generator=torch.Generator().manual_seed(0))
    row[EXPRESSION] = 0
    closed = row.clone()
    closed[EXPRESSION] += blink_direction(model, row)
    assert lid_gap(model, closed) < 0.35 * lid_gap(model, row)
    mouth = [model.shape(r[None, :80], r[None, EXPRESSION])[0, model.keypoints[48:]] for r in (row, closed)]
    assert float((mouth[0] - mouth[1]).norm(dim=-1).max()) < 0.02


@pytest.mark.parametrize(
    "held", [{}, {"eye_closure_left": 0.5, "eye_closure_right": 0.5}, {"upper_lid_raiser_left": 0.9}]
)
def test_lids_meet_from_wherever_they_are_and_do_not_pass(head: MorphableModel, held: dict[str, float]) -> None:
    row = torch.zeros(NUM_COEFFICIENTS)
    row[:80] = 0.3 * torch.randn(80, generator=torch.Generator().manual_seed(0))
    for name, value in held.items():
        row[EXPRESSION.start + head.expression_names.index(name)] = value
    lids, closed = Lids(head, row), row.clone()
    closed[EXPRESSION] = lids.closed(row[None, EXPRESSION], torch.ones(1))[0]
    points = head.shape(closed[None, :80], closed[None, EXPRESSION])[0, head.keypoints, 1]
    gap = (points[list(UPPER_LIDS)] - points[list(LOWER_LIDS)]).mean()
    assert 0 < float(gap) < 0.12 * 0.15
    half = lids.closed(row[None, EXPRESSION], torch.full((1,), 0.5))[0]
    torch.testing.assert_close(half, (row[EXPRESSION] + closed[EXPRESSION]) / 2)


def test_gaze_turns_the_eyes_where_the_model_has_them(head: MorphableModel) -> None:
    change = gaze_change(head, np.array([[2.5, 0.0], [0.0, -2.0]], np.float32))
    named = dict(zip(head.expression_names, change.T, strict=False))
    assert named["gaze_left"].tolist() == pytest.approx([0.1, 0.0])
    assert named["gaze_down"].tolist() == pytest.approx([0.0, 0.1])
    assert not gaze_change(replace(head, expression_names=()), np.ones((1, 2), np.float32)).any()


def test_all_of_it_can_be_switched_off(head: MorphableModel) -> None:
    row = 0.1 * torch.randn(NUM_COEFFICIENTS, generator=torch.Generator().manual_seed(0))
    source = Reference(torch.zeros(3, 8, 8), row, default_placement(1)[0], "a", 0)
    expression, energy, level = torch.randn(200, 64), torch.full((200,), 20.0), torch.ones(200)
    natural, places = Motion(source, head, Liveliness(blinks=False, gaze=False)).next(expression, energy, level)
    torch.testing.assert_close(natural[:, EXPRESSION], expression)
    assert (natural[50:, ANGLE] - row[ANGLE]).abs().max() > 0.01
    torch.testing.assert_close(places, source.placement.repeat(200, 1))
    with_eyes, _ = Motion(source, head, Liveliness()).next(expression, energy, level)
    assert (with_eyes[:, EXPRESSION] - expression).abs().max() > 0.5
