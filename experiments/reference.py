"""docs/config.md from the code: `python -m experiments.reference` writes every config field as it is declared.

A field's meaning is the string literal under it, a section's the docstring of its dataclass.
"""

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from conventions.files import write_text
from experiments.compose import field_types, is_section
from experiments.schema import ExperimentConfig

PAGE = Path(__file__).parents[1] / "docs" / "config.md"
COMMAND = "python -m experiments.reference"

HEAD = f"""# Every config field

Written by `{COMMAND}` from the code; a test fails where the two differ. Set a field in an experiment's
YAML (`eac: {{steps: 200}}`), in a variant's `overrides` (`eac.steps: 200`), or on the command line:
`emospace run toy eac.steps=200`. The defaults below are those of the code; `experiments/configs/*.yaml` state what the
presets `toy`, `demo`, `mead` and `mead_256` change.

A field's type decides what a value is, wherever it is written: `data.store=007` is the folder `007`, and no text
becomes a number. Text keeps the way in which it is written (in YAML: between its quotes, if any); whole numbers take no
fraction and no exponent; numbers are finite; flags are true/yes/on or false/no/off; lists are written as in YAML,
`[a, b]`. In a sweep that W&B's agent also runs, text that looks like a number needs quotes.

∘ marks fields outside a run's identity: they cannot change a number, or they name a file whose content is part of it.
"""
MARKS = {False: " ∘"}


def page() -> str:
    """The whole page as Markdown."""
    return HEAD + "".join(f"\n{text}" for text in _sections(ExperimentConfig, "", "The experiment"))


def meanings(kind: type) -> dict[str, str]:
    """Field name -> the string literal under the field, on one line."""
    [declared] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(declared, ast.ClassDef)
    found: dict[str, str] = {}
    for field, literal in zip(declared.body, declared.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(literal, ast.Expr):
            found[field.target.id] = " ".join(ast.literal_eval(literal.value).split())
    return found


def _sections(kind: type, prefix: str, title: str) -> Iterator[str]:
    """The section's own table, then those of the sections in it."""
    types, texts = field_types(kind), meanings(kind)
    rows = [
        _row(field, prefix, types, texts) for field in dataclasses.fields(kind) if not is_section(types[field.name])
    ]
    about = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    table = ["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows] if rows else []
    yield "\n".join([f"## {title}", "", about, "", *table]).rstrip() + "\n"
    for name, inner in types.items():
        if is_section(inner):
            yield from _sections(inner, f"{prefix}{name}.", f"`{prefix}{name}`")


def _row(field: "dataclasses.Field[Any]", prefix: str, types: dict[str, Any], texts: dict[str, str]) -> str:
    mark = MARKS.get(field.metadata.get("numbers", True), "")
    default = "" if field.default is dataclasses.MISSING else f"`{_plain(field.default)}`"
    return f"| `{prefix}{field.name}`{mark} | {_kind(types[field.name])} | {default} | {cell(texts[field.name])} |"


def _kind(kind: Any) -> str:
    """A type in words: `int`, `"mlp" or "gru"`, `list of str`, `str or none`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is type(None):
        return "none"
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        inner = [argument for argument in arguments if argument is not Ellipsis]
        return f"list of {_kind(inner[0])}" if Ellipsis in arguments else f"{len(inner)} x {_kind(inner[0])}"
    if arguments:
        return " or ".join(_kind(argument) for argument in arguments)
    return kind.__name__


def _plain(value: Any) -> str:
    """A default as one writes it in YAML."""
    if isinstance(value, tuple):
        return f"[{', '.join(_plain(item) for item in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value) or "''"


def cell(text: str) -> str:
    """Text in a cell of a Markdown table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write_text(PAGE, page())
