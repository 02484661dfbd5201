"""HEF's augmentation: the same change of source and target, true geometry, exact resume, nothing when it is off."""

import dataclasses
from pathlib import Path
from typing import Any

import hef_world as world
import pytest
import torch
from test_hef_module import build, fit

from datamodules.batches import HEFBatch
from face3d.grid import warp
from lightning_modules.hef.augment import augmented, displaced
from lightning_modules.hef.config import AugmentConfig
from lightning_modules.hef.generator import Task
from lightning_modules.hef.module import HEFModule

SIZE = 64
OFF: dict[str, Any] = dict.fromkeys(
    ("colour", "grey", "blur", "grain", "jpeg", "background", "displacement", "patches"), 0.0
)


@pytest.fixture(scope="module")
def module() -> HEFModule:
    return HEFModule(world.tiny_config(resolution=SIZE, motion="projected"), world.HashEncoder(), world.renderer(SIZE))


def batch(still: bool = False) -> HEFBatch:
    """Images of the ball; `still` takes the source as target too."""
    frames = world.make_batch(world.renderer(SIZE), 4, world.batch_generator(1, 0))
    if not still:
        return frames
    own = {f"target{name}": getattr(frames, f"source{name}") for name in ("", "_coefficients", "_placement")}
    return dataclasses.replace(frames, **own)


def changed(module: HEFModule, frames: HEFBatch, **parts: float) -> tuple[Task, Task]:
    """The task as it is, and augmented by `parts` alone."""
    torch.manual_seed(0)
    config = AugmentConfig(**{**OFF, "share": 1.0, **parts})
    frames, chosen = displaced(frames, config)
    work = module.task(frames)
    assert chosen is not None
    return work, augmented(work, chosen, config)


def test_off_it_draws_no_random_number() -> None:
    frames, before = batch(), torch.get_rng_state()
    same, chosen = displaced(frames, AugmentConfig())
    assert same is frames
    assert chosen is None
    assert torch.equal(before, torch.get_rng_state())


PARTS = [{}, {"colour": 0.3}, {"grey": 1.0}, {"blur": 1.0}, {"background": 1.0}, {"patches": 1.0}]


@pytest.mark.parametrize("part", PARTS)
def test_source_and_target_change_alike(module: HEFModule, part: dict[str, float]) -> None:
    before, after = (task.frames for task in changed(module, batch(still=True), **part))
    torch.testing.assert_close(after.source, after.target, atol=1e-5, rtol=0)
    assert ((after.source - before.source).abs().amax() > 0.02) == bool(part)
    assert after.source.abs().amax() <= 1


@pytest.mark.parametrize("part", [{"grain": 0.1}, {"jpeg": 20.0}])
def test_noise_and_compression_are_small(module: HEFModule, part: dict[str, float]) -> None:
    before, after = (task.frames for task in changed(module, batch(), **part))
    for name in ("source", "target"):
        assert 0.001 < float((getattr(after, name) - getattr(before, name)).abs().mean()) < 0.1


def test_geometry_motion_and_labels_stay(module: HEFModule) -> None:
    before, after = changed(module, batch(), background=1.0, patches=1.0)
    for name in ("source", "target", "motion", "keypoints", "region"):
        assert getattr(after, name) is getattr(before, name)
    for name in ("source_coefficients", "target_coefficients", "target_placement", "emotion", "level"):
        assert getattr(after.frames, name) is getattr(before.frames, name)


def test_patches_move_with_the_skin(module: HEFModule) -> None:
    before, after = changed(module, batch(), patches=1.0)
    assert before.motion is not None
    source, target = (getattr(after.frames, n) - getattr(before.frames, n) for n in ("source", "target"))
    seen = before.motion[:, 2:]
    moved = (warp(source, before.motion[:, :2]) - target).abs() * seen
    still = (source - target).abs() * seen
    assert float(moved.mean()) < 0.6 * float(still.mean())


def test_a_displaced_face_lies_where_its_placement_says(module: HEFModule) -> None:
    frames = batch()
    before, after = changed(module, frames, background=1.0, displacement=0.25)
    assert float((before.frames.target_placement - frames.target_placement).abs().amax()) > 0.1
    face = before.target[:, 3:].bool().expand_as(frames.target)
    error = (after.frames.target - before.target[:, :3]).abs()[face].mean()
    wrong = (after.frames.target - frames.target).abs()[face].mean()
    assert float(error) < 0.4 * float(wrong), "the picture is the render at the new place"
    kept = (after.frames.source - frames.source).abs() * before.source[:, 3:]
    assert float(kept.mean()) < 0.01


def test_the_share_counts_pairs(module: HEFModule) -> None:
    frames, counts = batch(), []
    for seed in range(50):
        torch.manual_seed(seed)
        config = AugmentConfig(share=0.5, colour=0.3, background=0.0)
        _, chosen = displaced(frames, config)
        work = module.task(frames)
        assert chosen is not None
        made = augmented(work, chosen, config).frames
        counts.append(int(((frames.source - made.source).abs().amax((1, 2, 3)) > 1e-5).sum()))
    assert 0.4 < sum(counts) / 200 < 0.6


@pytest.mark.parametrize("motion", ["rendered", "projected"])
def test_a_resumed_training_draws_the_same_changes(tmp_path: Path, motion: str) -> None:
    options = {"augment": AugmentConfig(share=0.7), "steps": 4, "motion": motion}
    unbroken, first = build(**options), build(**options)
    fit(unbroken, 4)
    fit(first, 2).save_checkpoint(tmp_path / "half.ckpt")
    resumed = build(**options)
    fit(resumed, 4, start=2, checkpoint=tmp_path / "half.ckpt")
    plain = build(steps=4, motion=motion)
    fit(plain, 4)
    states = [module.state_dict() for module in (unbroken, resumed, plain)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="jpeg"):
        AugmentConfig(jpeg=101.0)
    with pytest.raises(ValueError, match="patches"):
        AugmentConfig(patches=1.5)
