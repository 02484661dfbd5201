"""docs/config.md is what the code says, and the code says something of every field."""

import dataclasses

import pytest

from experiments.compose import dotted_keys, field_types, is_section
from experiments.reference import COMMAND, PAGE, meanings, page
from experiments.schema import ExperimentConfig


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
