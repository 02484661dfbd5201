"""The floors of the house hold: a file imports only from floors below its own, and no files import each other."""

import ast
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEIGHT = {
    "conventions": 0,
    "face3d": 1,
    "datamodules": 2,
    "metrics": 2,
    "toyworld": 3,
    "lightning_modules": 4,
    "experiments": 5,
    "ablations": 6,
    "emospace": 7,
}


def imported_packages(source: str) -> set[str]:
    """Top-level names that a module imports, wherever in it the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the floor"
            names.add((node.module or "").split(".")[0])
    return names


def climbs(floor: str, source: str) -> set[str]:
    """Packages of the house that a file on `floor` must not import."""
    ours = imported_packages(source) & HEIGHT.keys()
    return {name for name in ours if name != floor and HEIGHT[name] >= HEIGHT[floor]}


@pytest.mark.parametrize("floor", HEIGHT)
def test_no_import_climbs(floor: str) -> None:
    files = sorted((ROOT / floor).rglob("*.py"))
    assert files
    found = {str(file.relative_to(ROOT)): climbs(floor, file.read_text()) for file in files}
    assert {name: up for name, up in found.items() if up} == {}


def test_a_climbing_import_is_seen() -> None:
    assert climbs("metrics", "def f():\n    from datamodules.store import Store\n") == {"datamodules"}
    assert climbs("datamodules", "import emospace.cli\n") == {"emospace"}
    assert climbs("ablations", "import experiments.schema, torch\n") == set()


@pytest.mark.parametrize("floor", HEIGHT)
def test_no_test_climbs(floor: str) -> None:
    """Tests of a floor use only what that floor may import, and itself."""
    files = sorted((ROOT / "tests" / floor).rglob("*.py"))
    assert files
    found = {str(file.relative_to(ROOT)): climbs(floor, file.read_text()) for file in files}
    assert {name: up for name, up in found.items() if up} == {}


def test_only_tracking_imports_wandb() -> None:
    users = [
        str(file.relative_to(ROOT))
        for floor in HEIGHT
        for file in (ROOT / floor).rglob("*.py")
        if "wandb" in imported_packages(file.read_text())
    ]
    assert sorted(users) in ([], ["experiments/tracking.py"])


class Imports(ast.NodeVisitor):
    """Dotted names that a module imports at any time: at its top or in a function, but not for the type checker."""

    def __init__(self, source: str) -> None:
        self.names: set[str] = set()
        self.visit(ast.parse(source))

    def visit_If(self, node: ast.If) -> None:
        checked = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in node.orelse if checked else [*node.body, *node.orelse]:
            self.visit(statement)

    def visit_Import(self, node: ast.Import) -> None:
        self.names |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.names |= {f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)}


def import_circle(sources: Mapping[str, str]) -> list[str]:
    """Modules of which each imports the next, the last being the first again; empty where there is no such circle."""
    graph = {name: sorted(Imports(source).names & sources.keys() - {name}) for name, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1][::-1]
    return []


def module_name(file: Path) -> str:
    """`experiments.stages` of experiments/stages/__init__.py."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("floor", HEIGHT)
def test_no_files_import_each_other(floor: str) -> None:
    """Within a floor; between floors `test_no_import_climbs` allows one direction alone."""
    assert import_circle({module_name(file): file.read_text() for file in (ROOT / floor).rglob("*.py")}) == []


def test_a_circle_of_imports_is_seen() -> None:
    sources = {"a": "import b", "b": "def f():\n    from p import c", "p.c": "if x:\n    import a", "d": "import a, d"}
    assert " ".join(import_circle(sources)) in ("a b p.c a", "b p.c a b", "p.c a b p.c")
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\nelse:\n    import d"
    assert set(import_circle({**sources, "p.c": guarded})) == {"a", "b", "p.c", "d"}
    assert import_circle({**sources, "p.c": guarded, "d": ""}) == []


def test_files_of_tests_have_names_of_their_own() -> None:
    """pytest imports them by their file names alone."""
    names = [file.name for file in (ROOT / "tests").rglob("*.py") if file.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
