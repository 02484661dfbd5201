"""HEF's augmentation: the same change of source and target, true geometry, exact resume, nothing when it is off."""

import dataclasses
from typing import Any

import hef_world as world
import pytest
import torch
from test_hef_module import build, fit

from face3d.grid import warp
from lightning_modules.hef.augment import augmented
from lightning_modules.hef.config import AugmentConfig
from lightning_modules.hef.module import HEFModule
from lightning_modules.hef.tasks import Task

SIZE = 64
OFF: dict[str, Any] = dict.fromkeys(("colour", "grey", "blur", "grain", "jpeg", "background", "patches"), 0.0)


def task(still: bool = False) -> Task:
    """A batch of pictures of the ball with its masks and motion; `still` takes the source as target too."""
    batch = world.make_batch(world.renderer(SIZE), 4, world.batch_generator(1, 0))
    if still:
        own = {f"target{name}": getattr(batch, f"source{name}") for name in ("", "_coefficients", "_placement")}
        batch = dataclasses.replace(batch, **own)
    config = world.tiny_config(resolution=SIZE, augment=AugmentConfig(share=1.0))
    module = HEFModule(config, world.HashEncoder(), world.renderer(SIZE))
    return module.task(batch)


def changed(work: Task, seed: int = 0, **parts: Any) -> Task:
    torch.manual_seed(seed)
    return augmented(work, AugmentConfig(**{**OFF, "share": 1.0, **parts}))


def test_off_it_returns_the_task_and_draws_no_random_number() -> None:
    work = task()
    before = torch.get_rng_state()
    assert augmented(work, AugmentConfig()) is work
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "part", [{}, {"colour": 0.3}, {"grey": 1.0}, {"blur": 1.0}, {"background": 1.0}, {"patches": 1.0}]
)
def test_source_and_target_change_alike(part: dict[str, Any]) -> None:
    work = task(still=True)
    frames = changed(work, **part).frames
    torch.testing.assert_close(frames.source, frames.target, atol=1e-5, rtol=0)
    assert ((frames.source - work.frames.source).abs().amax() > 0.02) == bool(part)
    assert frames.source.abs().amax() <= 1


@pytest.mark.parametrize("part", [{"grain": 0.1}, {"jpeg": 20.0}])
def test_what_a_camera_and_a_codec_add_differs_from_frame_to_frame(part: dict[str, Any]) -> None:
    work = task()
    frames = changed(work, **part).frames
    for made, true in ((frames.source, work.frames.source), (frames.target, work.frames.target)):
        assert 0.001 < float((made - true).abs().mean()) < 0.1


def test_geometry_motion_and_labels_stay() -> None:
    work = task()
    made = augmented(work, AugmentConfig(share=1.0, background=1.0, patches=1.0))
    for name in ("source", "target", "motion", "keypoints", "region"):
        assert getattr(made, name) is getattr(work, name)
    for name in ("source_coefficients", "target_coefficients", "emotion", "level"):
        assert getattr(made.frames, name) is getattr(work.frames, name)


def test_patches_move_with_the_skin() -> None:
    work = task()
    made = changed(work, patches=1.0)
    added = [getattr(made.frames, name) - getattr(work.frames, name) for name in ("source", "target")]
    seen = work.motion[:, 2:]
    moved = (warp(added[0], work.motion[:, :2]) - added[1]).abs() * seen
    still = (added[0] - added[1]).abs() * seen
    assert float(moved.mean()) < 0.6 * float(still.mean())


def test_a_background_leaves_the_face_alone() -> None:
    work = task()
    made = changed(work, background=1.0)
    face = work.target[:, 3:].bool().expand_as(work.frames.target)
    assert float((made.frames.target - work.frames.target)[face].abs().mean()) < 0.05
    assert float((made.frames.target - work.frames.target)[..., 0, :].abs().mean()) > 0.1


def test_the_share_counts_pairs() -> None:
    work = task()
    torch.manual_seed(0)
    counts = [_changed_pairs(work, augmented(work, AugmentConfig(share=0.5, colour=0.3))) for _ in range(50)]
    assert 0.4 < sum(counts) / 200 < 0.6


def _changed_pairs(before: Task, after: Task) -> int:
    return int(((before.frames.source - after.frames.source).abs().amax((1, 2, 3)) > 1e-5).sum())


def test_a_resumed_training_draws_the_same_changes(tmp_path: Any) -> None:
    options = {"augment": AugmentConfig(share=0.7), "steps": 4}
    unbroken, first = build(**options), build(**options)
    fit(unbroken, 4)
    fit(first, 2).save_checkpoint(tmp_path / "half.ckpt")
    resumed = build(**options)
    fit(resumed, 4, start=2, checkpoint=tmp_path / "half.ckpt")
    plain = build(steps=4)
    fit(plain, 4)
    states = [module.state_dict() for module in (unbroken, resumed, plain)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="jpeg"):
        AugmentConfig(jpeg=101.0)
    with pytest.raises(ValueError, match="patches"):
        AugmentConfig(patches=1.5)
