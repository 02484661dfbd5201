"""Configurations from YAML and words; and the page of their fields, which is generated from the code."""

import dataclasses
import json
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conventions.errors import UserError
from datamodules.splits import Split
from experiments.compose import dotted_keys, experiment_names, field_types, is_section, merge, nested, parse_overrides
from experiments.graph import compose
from experiments.reference import COMMAND, PAGE, meanings, page
from experiments.schema import ExperimentConfig


@dataclass(frozen=True)
class Weights:
    velocity: float = 1.0
    mouth: float = 0.5


@dataclass(frozen=True)
class Module:
    steps: int = 100
    backbone: Literal["mlp", "gru"] = "mlp"
    widths: tuple[int, ...] = (8, 16)
    weights: Weights = field(default_factory=Weights)

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps: {self.steps} is not valid; it must be at least 0")


@dataclass(frozen=True)
class Root:
    seed: int = 0
    eac: Module = field(default_factory=Module)


def refuse(*words: str) -> str:
    with pytest.raises(UserError) as error:
        merge(Root, ("overrides", parse_overrides(words)))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_sources_apply_in_order_and_give_plain_frozen_dataclasses() -> None:
    config = merge(Root, ("a.yaml", {"eac": {"steps": 5}}), ("overrides", parse_overrides(["eac.weights.mouth=2"])))
    assert config == Root(eac=Module(steps=5, weights=Weights(mouth=2.0)))
    assert type(config.eac.weights.mouth) is float
    with pytest.raises(FrozenInstanceError):
        config.seed = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_lists_become_tuples() -> None:
    assert merge(Root, ("overrides", parse_overrides(["eac.widths=[1,2,3]"]))).eac.widths == (1, 2, 3)


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("eac.stepss=3", ["eac.stepss", "did you mean 'eac.steps'"]),
        ("eac.weights.mout=3", ["eac.weights.mout", "'eac.weights.mouth'"]),
        ("ecc.steps=3", ["ecc", "'eac'"]),
        ("steps=3", ["steps", "'eac.steps'"]),
        ("eac.steps=many", ["eac.steps", "many", "whole number"]),
        ("eac.steps=2.5", ["eac.steps", "2.5"]),
        ("eac.backbone=grus", ["eac.backbone", "grus", "'mlp', 'gru'"]),
        ("eac.steps=null", ["eac.steps", "'null'"]),
        ("eac.steps=-1", ["eac: steps: -1", "at least 0"]),
        ("eac=3", ["eac", "section", "backbone"]),
        ("eac.steps", ["eac.steps", "key=value"]),
        ("=3", ["key=value"]),
    ],
)
def test_wrong_words_are_one_line_naming_key_and_nearest(word: str, parts: list[str]) -> None:
    message = refuse(word)
    for part in parts:
        assert part in message


def test_dotted_keys_and_nested_are_inverse() -> None:
    keys = dotted_keys(Root)
    assert "eac.weights.velocity" in keys
    assert "eac" not in keys
    assert nested({"eac.weights.mouth": 1, "seed": 2}) == {"eac": {"weights": {"mouth": 1}}, "seed": 2}


@given(st.integers(0, 10**6), st.floats(0, 1e6))
def test_any_value_survives_the_round_trip(steps: int, mouth: float) -> None:
    config = merge(Root, ("overrides", parse_overrides([f"eac.steps={steps}", f"eac.weights.mouth={mouth!r}"])))
    assert (config.eac.steps, config.eac.weights.mouth) == (steps, mouth)


def test_values_that_refer_to_others_are_read_each_time(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("base: toy\neac: {steps: '${oc.env:STEPS}', batch_size: '${hef.batch_size}'}\n")
    for steps in (3, 4):
        monkeypatch.setenv("STEPS", str(steps))
        config = compose(str(path)).config
        assert (config.eac.steps, config.eac.batch_size) == (steps, config.hef.batch_size)
    path.write_text("base: toy\neac: {steps: '${no.such}'}\n")
    with pytest.raises(UserError, match=r"mine\.yaml.*no\.such"):
        compose(str(path))


@pytest.mark.parametrize("name", experiment_names())
def test_no_packaged_experiment_keeps_a_reference(name: str) -> None:
    assert "${" not in json.dumps(dataclasses.asdict(compose(name).config), default=str)


def test_an_experiment_file_that_changes_is_read_again(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    for steps in (7, 8):
        path.write_text(f"base: toy\neac: {{steps: {steps}}}\n")
        assert compose(str(path)).config.eac.steps == steps


def test_unknown_experiment_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'toy'"):
        compose("tooy")


def test_experiment_file_of_the_user_with_a_base(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("base: toy\neac:\n  steps: 7\n")
    config = compose(str(path), overrides=["seed=3"]).config
    assert (config.name, config.eac.steps, config.seed) == ("mine", 7, 3)


def test_a_base_that_leads_back_is_refused(tmp_path) -> None:
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    with pytest.raises(UserError, match="leads back"):
        compose(str(tmp_path / "a.yaml"))


def test_a_file_that_is_no_yaml_is_one_line(tmp_path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("eac: [1, 2\n")
    with pytest.raises(UserError, match=r"bad\.yaml") as error:
        compose(str(path))
    assert "\n" not in str(error.value)


EVALUATED = [name for name in experiment_names() if not name.startswith("real_")]
"""The others train single stages on real data."""


@pytest.mark.parametrize("preset", EVALUATED)
def test_every_preset_has_actors_to_train_on_to_test_and_to_judge_with(preset: str) -> None:
    actors = Split.load(compose(preset).config.data.split).actors
    assert len(actors["judge"]) >= 2
    assert actors["test"]


def sections(kind: type) -> list[type]:
    return [kind, *(inner for one in field_types(kind).values() if is_section(one) for inner in sections(one))]


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == page(), f"docs/config.md is out of date: {COMMAND}"


@pytest.mark.parametrize("kind", sections(ExperimentConfig), ids=lambda kind: kind.__name__)
def test_every_field_says_what_it_is(kind: type) -> None:
    own = {field.name for field in dataclasses.fields(kind) if not is_section(field_types(kind)[field.name])}
    assert own <= meanings(kind).keys()
    assert kind.__doc__


def test_every_key_stands_on_the_page_once() -> None:
    text = page()
    assert [key for key in dotted_keys(ExperimentConfig) if text.count(f"| `{key}`") != 1] == []
