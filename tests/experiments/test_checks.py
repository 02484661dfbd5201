"""What would fail after hours fails before anything trains, with one line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conventions.errors import UserError
from datamodules.splits import Split
from experiments.checks import check_plan
from experiments.graph import compose, plan
from experiments.progress import Interruption, Progress
from experiments.runner import execute
from experiments.stage import Work
from experiments.world import ready_data

TRAIN = Split.load("toy").actors["train"]
FAULTS = {
    "too small": ({"size": 64}, ["hef.resolution=128"], "hef.resolution: 128 px exceeds the 64 px"),
    "no coefficients": ({"coefficient_model": None, "has_coefficients": False}, [], "has no coefficients|contains no"),
    "no audio": ({"has_audio": False}, [], "no training clip with audio"),
    "no labels": ({"emotion": None, "level": None, "kind": None}, [], "no training clip with an emotion label for AME"),
    "no judges": ({"actors": [*TRAIN, "M005"]}, [], "at least two judge actors"),
    "no test clips": (
        {"actors": [*TRAIN, "W006", "M007"]},
        [],
        "no test clip with audio and coefficients for evaluate.clips: basic",
    ),
    "no validation clips": (
        {"actors": [*TRAIN, "M005", "W006", "M007"]},
        ["evaluate.clips=val"],
        "no val clip with audio and coefficients for evaluate.clips: val",
    ),
    "no training actors": ({"actors": ["M005", "W006", "M007"]}, [], "no training clip"),
    "another face model": ({"coefficient_model": "bfm09"}, [], "face_model: '' is not a file"),
    "one clip a style": (
        {"actors": [*TRAIN, "M005", "W006", "M007"]},
        ["evaluate.modality=image", "evaluate.max_clips=0"],
        "no test clip other",
    ),
    "nothing to start from": ({}, ["init_from.eac=nowhere"], "init_from: nowhere: is neither a run"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plan_that_cannot_end_does_not_begin(
    fault: str, make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, words, line = FAULTS[fault]
    path = make_store(fault, **changes)
    experiment = compose("toy", overrides=[f"data.store={path}", "tracking.mode=disabled", *words])
    with pytest.raises(UserError, match=line) as error:
        execute(experiment, tmp_path / "runs")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_weights_that_are_not_there_are_named_by_their_key(store: Path) -> None:
    words = [f"data.store={store}", "face_model=absent.mat"]
    with pytest.raises(UserError, match=r"face_model: absent\.mat: cannot be read"):
        plan(compose("toy", overrides=words))


def test_a_split_without_actors_to_score_with_trains_and_skips_scoring(store: Path, tmp_path: Path) -> None:
    split = tmp_path / "mine.yaml"
    split.write_text("name: mine\ntrain: rest\ntest: [M005]\n")
    planned = plan(compose("toy", overrides=[f"data.store={store}", f"data.split={split}"]))
    check_plan(planned, tmp_path / "runs")
    assert {run.stage for run in planned} == {"clip", "critics", "ame", "eac", "hef", "evaluate"}
    target = planned[-1]
    skipped = target.spec.work(Work(target, tmp_path, target.folder(tmp_path), Progress("", 0), Interruption()))
    assert "has no judge actors" in skipped.facts["skipped"]
    assert skipped.metrics == {}


@pytest.mark.parametrize("stage", ["ame", "eac", "hef"])
def test_a_test_actor_that_another_store_trains_on_is_refused(
    stage: str, make_store: Callable[..., Path], tmp_path: Path
) -> None:
    shared, own = make_store("shared"), make_store("own")
    words = [f"data.store={shared}", f"{stage}.data.store={own}", f"{stage}.data.split=all_train"]
    with pytest.raises(UserError, match=rf"{stage}\.data: trains on .*M005.*, test actors of the split"):
        check_plan(plan(compose("toy", overrides=words)), tmp_path)
    check_plan(plan(compose("toy", overrides=words[:2])), tmp_path)


def test_eac_and_hef_on_stores_of_two_face_models_are_refused(make_store: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "bfm.mat").write_bytes(b"")
    shared, own = make_store("shared"), make_store("own", coefficient_model="bfm09")
    words = [f"data.store={shared}", f"hef.data.store={own}", f"face_model={tmp_path / 'bfm.mat'}"]
    with pytest.raises(UserError, match=r"bfm09.*procedural-v1"):
        check_plan(plan(compose("toy", overrides=words)), tmp_path)


def test_only_the_experiments_own_store_is_filled_by_the_toy_world(tmp_path: Path) -> None:
    words = [f"data.store={tmp_path / 'typo'}", f"world.root={tmp_path / 'world'}"]
    with pytest.raises(UserError, match="no such folder"):
        ready_data(compose("toy", overrides=words))
    assert not list(tmp_path.iterdir())
