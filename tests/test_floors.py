"""The floors of the house hold: a file imports only from floors below its own."""

import ast
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


def test_only_tracking_imports_wandb() -> None:
    users = [
        str(file.relative_to(ROOT))
        for floor in HEIGHT
        for file in (ROOT / floor).rglob("*.py")
        if "wandb" in imported_packages(file.read_text())
    ]
    assert sorted(users) in ([], ["experiments/tracking.py"])
