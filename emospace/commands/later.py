"""Commands whose work is not built yet say so in one line and fail: no empty success."""

import argparse

from conventions.errors import UserError


def refuse(command: str, instead: str) -> int:
    """Raise the one line of a command that is not built yet."""
    raise UserError(f"`emospace {command}` is not built yet; {instead}")


def swallow(parser: argparse.ArgumentParser) -> None:
    """Accept any arguments, so that the one line is what the user sees."""
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
