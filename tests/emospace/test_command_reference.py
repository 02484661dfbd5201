"""docs/commands.md equals what the argument parsers give, and every argument has a help text."""

import pytest

from emospace.cli import COMMANDS, build_parser
from emospace.reference import COMMAND, PAGE, page


def test_the_page_equals_the_parsers() -> None:
    assert PAGE.read_text() == page(), f"docs/commands.md is out of date: {COMMAND}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_has_a_help_text(command: str) -> None:
    assert [action.dest for action in build_parser(command)._actions if not action.help] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_is_on_the_page(command: str) -> None:
    section = page().partition(f"## emospace {command}\n")[2].partition("\n## ")[0]
    options = [name for action in build_parser(command)._actions for name in action.option_strings[-1:]]
    assert [name for name in options if name != "--help" and f"`{name}" not in section] == []
