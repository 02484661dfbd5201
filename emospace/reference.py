"""docs/commands.md from the code: `python -m emospace.reference` writes every command with its arguments.

Descriptions, examples and help texts are those of `emospace COMMAND --help`.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from conventions.files import write_text
from emospace.cli import COMMANDS, build_parser
from experiments.reference import cell

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
COMMAND = "python -m emospace.reference"

HEAD = f"""# Commands

Written by `{COMMAND}` from the code; a test fails where the two differ.
`emospace COMMAND --help` prints the same.

Exit codes: 0 done, 1 failed, 2 wrong use (one line on stderr states what is wrong), 75 interrupted, resumable.
`EMOSPACE_TRACEBACK=1` prints the traceback of an internal error.
"""


def page() -> str:
    """The whole page as Markdown."""
    rows = [f"| [`{name}`](#emospace-{name}) | {text} |" for name, text in COMMANDS.items()]
    overview = "\n".join(["| command | purpose |", "| --- | --- |", *rows])
    return "\n".join([HEAD, overview, *(_section(name) for name in COMMANDS)])


def _section(name: str) -> str:
    """Description, example and arguments of one command."""
    parser = build_parser(name)
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    actions.sort(key=lambda action: bool(action.option_strings))  # positional arguments first
    rows = [f"| {cell(f'`{_form(action)}`')} | {cell(_meaning(action))} |" for action in actions]
    example = (parser.epilog or "").removeprefix("example: ")
    table = "\n".join(["| argument | meaning |", "| --- | --- |", *rows])
    return "\n".join([f"\n## emospace {name}\n", *_paragraphs(parser), "", "```", example, "```", "", table])


def _paragraphs(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The description; lines in columns become a list."""
    for line in (parser.description or "").strip().splitlines():
        head, gap, rest = line.partition("   ")
        yield f"- `{head}`: {rest.strip()}" if gap else line


def _form(action: argparse.Action) -> str:
    """An argument as one types it, without `|`, which ends a cell: `--seeds SEEDS ...`, `--preset {default,tiny}`."""
    name = " ".join(action.option_strings[-1:])
    if action.nargs == 0:
        return name
    choices = str(action.metavar).split("|") if "|" in str(action.metavar) else action.choices
    value = f"{{{','.join(map(str, choices))}}}" if choices else action.metavar or action.dest.upper()
    return f"{name} {value}{' ...' if action.nargs in ('*', '+') else ''}".strip()


def _meaning(action: argparse.Action) -> str:
    text = f"{action.help}".replace("%%", "%")
    return f"{text}; required" if action.option_strings and action.required else text


if __name__ == "__main__":
    write_text(PAGE, page())
