"""Every benchmark and study imports: none uses what the code no longer has."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [path for folder in ("benchmarks", "studies") for path in (ROOT / folder).glob("*.py")]


@pytest.mark.parametrize("name", sorted(f"{path.parent.name}.{path.stem}" for path in FILES))
def test_it_imports(name: str) -> None:
    importlib.import_module(name)
