"""Things by name: a user's own module in the working directory is found, and never stands in for one of ours."""

import sys
from pathlib import Path

import pytest

from conventions.errors import UserError
from conventions.registry import Registry

KINDS = Registry("kind", "kinds", {"ours": "conventions.rates:VIDEO_FPS"})


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", ".")])
    return tmp_path


def test_a_module_of_the_working_directory(working_directory: Path) -> None:
    (working_directory / "their_module.py").write_text("import their_helper\nthing = their_helper.value\n")
    (working_directory / "their_helper.py").write_text("value = 7\n")
    assert KINDS.load("their_module:thing") == 7
    assert sys.path[-1] == str(working_directory)


def test_ours_comes_first(working_directory: Path) -> None:
    (working_directory / "conventions.py").write_text("raise SystemExit")
    assert KINDS.load("conventions.rates:VIDEO_FPS") == KINDS.load("ours") == 25


@pytest.mark.parametrize(
    "name", ["nowhere_at_all:x", "conventions.rates:nothing", "conventions.nothing:x", "tuors", ":x", "x:", "broken:x"]
)
def test_what_is_not_there_is_one_line(name: str, working_directory: Path) -> None:
    (working_directory / "broken.py").write_text("a = (\n")
    with pytest.raises(UserError) as error:
        KINDS.load(name)
    assert "\n" not in str(error.value)
