"""What README and docs tell a user to type is understood, names what exists, and the files they point to are there."""

import re
import shlex
from pathlib import Path

import pytest

from emospace.cli import COMMANDS, build_parser, parse

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands() -> list[str]:
    """Every `emospace ...` line of a code block, and every inline one that has arguments."""
    found: list[str] = []
    for page in PAGES:
        text = page.read_text()
        blocks = re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)
        found += [line for block in blocks for line in block.splitlines() if line.startswith("emospace ")]
        found += re.findall(r"(?<!`)`(emospace \w+ [^`]+)`(?!`)", text)
    return sorted({line.split("  #")[0].strip() for line in found})


@pytest.mark.parametrize("line", commands())
def test_command_is_understood(line: str) -> None:
    command, *words = shlex.split(line)[1:]
    if command == "COMMAND":
        return
    assert command in COMMANDS
    if words == ["--help"] or (words and words[0].isupper()):
        return
    options = parse(build_parser(command), words)
    assert getattr(options, "experiment", "toy") in ("toy", "mead", "demo")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_make_commands_exist() -> None:
    rules = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert {"demo", "test", "env"} <= named & rules
    assert named <= rules
