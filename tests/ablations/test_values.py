"""A field's type decides what a written value is, from wherever it comes: it arrives as it is, or is refused."""

import math
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.registry import compose_variant
from conventions.errors import UserError
from experiments.compose import dotted_keys, field_types, merge, nested, parse_overrides
from experiments.graph import compose
from experiments.schema import ExperimentConfig
from experiments.sweep import expand_sweep
from experiments.values import Plain, parse_mapping, parse_yaml, to_yaml

ODD = [
    "my #1 store", "2023_01", "007", "true", "True", "0x10", "0o17", "1:20", "1:20:30", "1e3", "1e-5", "null", "~",
    "[a", "{a: b}", "a: b", "- a", "", " ", "'quoted'", '"double"', "a'b", "@at", "`tick`", "%x", "*alias", "&anchor",
    "!tag", "|", ">", "?", "${seed}", "$HOME", "2023-01-01", ".inf", "-.inf", ".nan", "nan", "inf", "1e400", "-1", "0",
    "1.5", "1.0", "1_000", "9" * 30, "yes", "no", "off", "None", "é", "日本", "a=b", "a\tb", "a\nb", "\\", "#", "a #b",
    "toy", "<<", "=", "---", "caf\udce9", "x" * 300,
]  # fmt: skip


def leaf_kind(key: str) -> Any:
    kind: Any = ExperimentConfig
    for name in key.split("."):
        kind = field_types(kind)[name]
    return kind


def leaf(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = getattr(config, name)
    return config


def outcome(key: str, *sources: tuple[str, Any]) -> Any:
    """The field's value, or the UserError, whose line names the key."""
    try:
        return leaf(merge(ExperimentConfig, *sources), key)
    except UserError as error:
        return error


def refused(key: str, found: Any) -> bool:
    """Whether a value was refused by one line that names the key."""
    line = str(found)
    return isinstance(found, UserError) and "\n" not in line and key.rpartition(".")[2] in line


@pytest.mark.parametrize("key", dotted_keys(ExperimentConfig))
def test_every_field_takes_a_value_as_it_is_or_refuses_it(key: str) -> None:
    kind = leaf_kind(key)
    for text in ODD:
        found = outcome(key, ("overrides", parse_overrides([f"{key}={text}"])))
        if isinstance(found, UserError):
            assert refused(key, found)
            assert kind is not str or key in ("name", "ame.text.encoding", "hef.text_encoding", "eac.backbone.kind")
        elif kind is str:
            assert found == text
            assert type(found) is str
        elif kind is int:
            assert type(found) is int
            assert str(found) == text.replace("_", "").lstrip("+")
        elif kind is float:
            assert type(found) is float
            assert math.isfinite(found)
            assert found == float(text)
        elif kind is bool:
            assert found == (text.lower() in ("true", "yes", "on"))
        elif typing.get_origin(kind) is tuple:
            assert text == "- a"
        elif typing.get_origin(kind) is typing.Literal:
            assert found == text
        else:
            assert found == (None if text in ("null", "~", "") else text)


NUMBERS = [key for key in dotted_keys(ExperimentConfig) if leaf_kind(key) in (int, float)]


@pytest.mark.parametrize("key", NUMBERS)
def test_no_number_is_without_bounds(key: str) -> None:
    values = [-1, -1e-9, math.inf, -math.inf, math.nan, True, "many", None, [1]]
    for value in values if leaf_kind(key) is float else [*values, 10**30, 1.0]:
        assert refused(key, outcome(key, ("python", nested({key: value})))), value


@pytest.mark.parametrize(
    "word",
    [
        "data.clip_frames=0", "data.workers=-1", "data.image_size=0", "data.views=[]", "eac.learning_rate=.inf",
        "eac.learning_rate=0", "hef.learning_rate=nan", "hef.micro_batches=0", "hef.ema_decay=1", "hef.betas=[0,1]",
        "hef.betas=[0]", "judges.temperature=0", "seed=4294967296", "world.seed=-1", "eac.steps=2.0", "eac.steps=1e3",
        "hef.batch_size=0", "hef.penalty_every=0", "evaluate.max_clips=-1", "trainer.devices=0", "eac.weights.mouth=-1",
    ],
)  # fmt: skip
def test_impossible_numbers_are_one_line(word: str) -> None:
    key = word.partition("=")[0]
    assert refused(key, outcome(key, ("overrides", parse_overrides([word]))))


@pytest.mark.parametrize("text", ["1e-5", "1E-5", "0.00001", "1e-05"])
def test_every_spelling_of_a_number(text: str) -> None:
    for value in (Plain(text), text):
        assert merge(ExperimentConfig, ("a", {"eac": {"learning_rate": value}})).eac.learning_rate == 1e-5


PLAIN_IN_YAML = ["2023_01", "007", "true", "0x10", "1:20", "1e3", "null", "2023-01-01", "no", "a#b", "1.50"]


@pytest.mark.parametrize("text", PLAIN_IN_YAML)
def test_one_text_from_every_source(text: str, tmp_path: Path) -> None:
    for number, written in enumerate((text, f"'{text}'", f'"{text}"')):
        file = tmp_path / f"mine{number}.yaml"
        file.write_text(f"base: toy\ndata: {{store: {written}}}\n")
        assert compose(str(file)).config.data.store == text
        variant = tmp_path / f"variant{number}.yaml"
        variant.write_text(f"overrides: {{data.store: {written}}}\n")
        assert compose_variant("toy", str(variant)).config.data.store == text
        sweep = tmp_path / f"sweep{number}.yaml"
        command = '["${env}", "${interpreter}", -m, emospace.cli, run, toy, "${args_no_hyphens}"]'
        quoted = written if written != "null" else "'null'"
        sweep.write_text(f"method: grid\nparameters: {{data.store: {{values: [{quoted}]}}}}\ncommand: {command}\n")
        [job] = expand_sweep(sweep).jobs
        assert job.words == ("toy", f"data.store={text}")
    assert compose("toy", overrides=[f"data.store={text}"]).config.data.store == text


@given(st.text(min_size=1, max_size=40))
def test_any_text_reaches_a_text_field(text: str) -> None:
    assert merge(ExperimentConfig, ("o", parse_overrides([f"data.store={text}"]))).data.store == text


@pytest.mark.parametrize("values", ["[1.5]", "['many']", "[1e3]", "[.inf]"])
def test_a_sweep_gives_no_float_for_a_whole_number(values: str, tmp_path: Path) -> None:
    command = '["${env}", "${interpreter}", -m, emospace.cli, run, toy, "${args_no_hyphens}"]'
    text = f"method: grid\nparameters: {{eac.steps: {{values: {values}}}}}\ncommand: {command}\n"
    (tmp_path / "sweep.yaml").write_text(text)
    [job] = expand_sweep(tmp_path / "sweep.yaml").jobs
    with pytest.raises(UserError, match=r"eac\.steps"):
        compose("toy", overrides=job.words[1:])


def test_yaml_as_it_is_written() -> None:
    text = "a: 007\nb: '007'\nc: [1e3, \"x\"]\nd: {e: ~}\ng: &b {x: 1, y: 2}\nf: {<<: *b, y: 3}\n"
    assert parse_yaml(text) == {
        "a": "007", "b": "007", "c": ["1e3", "x"], "d": {"e": "~"}, "g": {"x": "1", "y": "2"}, "f": {"x": "1", "y": "3"}
    }  # fmt: skip
    assert type(parse_yaml(text)["a"]) is Plain
    assert type(parse_yaml(text)["b"]) is str


@pytest.mark.parametrize(
    "content",
    [
        b"a: 1\na: 2\n", b"a: [1\n", b"a: &x [*x]\n", b"a: !!python/object:os.system x\n", b"? [a]\n: b\n", b"[" * 5000,
        b"\xff\xfea\x00:\x00 \x001\x00", b"a: \x00\n", b"- a\n", b"", b"just text", b"a: b: c\n",
        b"---\na: 1\n---\nb: 2\n",
        b"\x89PNG\r\n\x1a\n", b"base: [1]\n", b"base: {a: 1}\n", b"seed: [0]\n", b"eac: 3\n", b"eac: [3]\n", b"1: 2\n",
        b"? \n: b\n", b"data: null\n", b"{{a}}\n",
    ],
)  # fmt: skip
def test_files_of_any_content_are_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(content)
    for read in (lambda path: compose(str(path)), expand_sweep, lambda path: compose_variant("toy", str(path))):
        with pytest.raises(UserError, match=r"mine\.yaml") as error:
            read(tmp_path / "mine.yaml")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", [text for text in ODD if text])
def test_a_config_comes_back_from_its_yaml(text: str) -> None:
    config = merge(ExperimentConfig, ("o", parse_overrides([f"data.store={text}", f"face_model={text}"])))
    assert merge(ExperimentConfig, ("config.yaml", parse_mapping(Path("config.yaml"), to_yaml(config)))) == config


def test_a_reference_leaves_other_values_as_they_are_written(tmp_path: Path) -> None:
    text = "base: toy\nseed: 7\nface_model: 1e3\ndata: {store: 007}\nworld: {seed: '${seed}'}\n"
    (tmp_path / "mine.yaml").write_text(text)
    config = compose(str(tmp_path / "mine.yaml")).config
    assert (config.face_model, config.data.store, config.world.seed) == ("1e3", "007", 7)
