"""Docstrings of the Python API (Google style): every parameter, result and field is described, and examples run."""

import dataclasses
import doctest
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
ENTRY = re.compile(r"^::: (\S+)$(?:\n    options: \{members: \[(.*?)\]\})?", flags=re.MULTILINE)
RESULTS = ("Returns:", "Yields:")
INDENT = 4


def listed() -> dict[str, tuple[str, ...] | None]:
    """Each object of the API page with the members that the page selects; None: all public ones."""
    found = ENTRY.findall((ROOT / "docs" / "api.md").read_text())
    return {name: tuple(members.split(", ")) if members else None for name, members in found}


def load(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


def section(docstring: str, title: str) -> str:
    """The indented text of a section; empty without it."""
    found = re.search(rf"^{title}\n((?: {{{INDENT}}}.*\n?|\n)+)", docstring, flags=re.MULTILINE)
    return found.group(1) if found else ""


def undescribed(function: Any, docstring: str) -> list[str]:
    """Parameters without an entry in `Args:`, and the result where it has no section."""
    signature = inspect.signature(function)
    names = [name for name in signature.parameters if name not in ("self", "cls")]
    entries = re.findall(rf"^ {{{INDENT}}}(\w+): \S", section(docstring, "Args:"), flags=re.MULTILINE)
    missing = [name for name in names if name not in entries] + [f"no {name}" for name in entries if name not in names]
    returns = signature.return_annotation not in (None, "None", inspect.Signature.empty)
    if names and returns and function.__name__ != "__init__" and not any(section(docstring, one) for one in RESULTS):
        missing.append("Returns")
    return missing


def methods(cls: type, members: tuple[str, ...] | None) -> Iterator[Any]:
    """Public methods that a class defines itself: those that the page shows."""
    for name, value in vars(cls).items():
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if inspect.isfunction(function) and (name in members if members else not name.startswith("_")):
            yield function


def fields_without_docstring(cls: type) -> list[str]:
    """Fields of a dataclass that no string follows in the source."""
    described = re.findall(r'^    (\w+): .*\n    """\S', textwrap.dedent(inspect.getsource(cls)), flags=re.MULTILINE)
    own = [field.name for field in dataclasses.fields(cls) if field.name in vars(cls).get("__annotations__", {})]
    return [name for name in own if not name.startswith("_") and name not in described]


def gaps(cls_or_function: Any, members: tuple[str, ...] | None = None) -> list[str]:
    """What is not described, as `name: parameter`."""
    thing = cls_or_function
    if not inspect.isclass(thing):
        return [f"{thing.__name__}: {name}" for name in undescribed(thing, inspect.getdoc(thing) or "")]
    if dataclasses.is_dataclass(thing):
        found = [f"{thing.__name__}: {name}" for name in fields_without_docstring(thing)]
    else:
        init = vars(thing).get("__init__")
        missing = undescribed(init, inspect.getdoc(thing) or "") if init else []
        found = [f"{thing.__name__}: {name}" for name in missing]
    return found + [gap for function in methods(thing, members) for gap in gaps(function)]


@pytest.mark.parametrize(("name", "members"), listed().items())
def test_parameters_results_and_fields_are_described(name: str, members: tuple[str, ...] | None) -> None:
    assert gaps(load(name), members) == []


@pytest.mark.parametrize("name", listed())
def test_examples_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    thing = load(name)
    module = importlib.import_module(thing.__module__)
    tests = doctest.DocTestFinder().find(thing, name, module, globs=vars(module) | names_of_examples())
    report: list[str] = []
    for test in tests:
        doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False).run(test, out=report.append)
    assert "".join(report) == ""


def names_of_examples() -> dict[str, Any]:
    """What examples use beside the names of their own module."""
    from lightning_modules.ame.config import AMEConfig, TextConfig

    return {"Path": Path, "AMEConfig": AMEConfig, "TextConfig": TextConfig}


def test_a_gap_is_found() -> None:
    def half(first: int, second: int) -> int:
        """Sum.

        Args:
            first: one.
            third: none.
        """
        return first + second

    @dataclasses.dataclass
    class Pair:
        """Two."""

        left: int
        """One."""
        right: int

    assert gaps(half) == ["half: second", "half: no third", "half: Returns"]
    assert gaps(Pair) == ["Pair: right"]
