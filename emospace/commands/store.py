"""Describe a store (clips, hours, hash, what was left out), verify, merge or filter stores, or add a speech feature."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from emospace.commands.output import add_json, print_json, progress

EXAMPLE = "emospace store work/store --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace store`."""
    parser.add_argument("store", metavar="STORE", type=Path, help="folder that `emospace prepare` wrote")
    parser.add_argument(
        "--merge", metavar="OTHER", type=Path, nargs="+", help="first write STORE from the clips of these stores"
    )
    parser.add_argument("--upgrade", action="store_true", help="first rewrite a store of version 1 in place")
    parser.add_argument(
        "--only",
        metavar="COLUMN=VALUE,...",
        action="append",
        type=_selection,
        default=[],
        help="with --merge: only clips of these values; columns: id actor emotion level kind view source",
    )
    parser.add_argument("--verify", action="store_true", help="read all bytes and compare with the recorded hashes")
    parser.add_argument(
        "--add-speech",
        metavar="FEATURE",
        help="add a speech feature for `data.speech`: hf:NAME_OR_FOLDER[:layer] or module:Class; an "
        "interrupted call resumes",
    )
    add_json(parser)


def _selection(text: str) -> tuple[str, list[str]]:
    name, equals, values = text.partition("=")
    if not equals or not values:
        raise argparse.ArgumentTypeError(f"{text!r}: is not of the form actor=M003,W009")
    return name, values.split(",")


def _columns(selections: Iterable[tuple[str, list[str]]]) -> dict[str, list[str]]:
    """Values by column; a column that is given twice takes the values of both."""
    found: dict[str, list[str]] = {}
    for name, values in selections:
        found.setdefault(name, []).extend(values)
    return found


def run(options: argparse.Namespace) -> int:
    """Print what the store holds."""
    from conventions.errors import UserError
    from datamodules.merging import merge
    from datamodules.speech_store import add_speech
    from datamodules.store import Store, describe
    from datamodules.upgrade import upgrade

    if options.upgrade:
        upgrade(options.store)
    if options.merge:
        merge(options.store, options.merge, _columns(options.only))
    elif options.only:
        raise UserError("--only: selects clips for --merge")
    store = Store(options.store)
    if options.add_speech is not None:
        store = add_speech(options.store, options.add_speech, progress("speech"))
    if options.verify:
        store.verify()
    description = describe(store)
    if options.json:
        print_json(description)
        return 0
    width = max(map(len, description))
    for key, value in description.items():
        shown = ", ".join(f"{name}: {count}" for name, count in value.items()) if isinstance(value, dict) else value
        text = ", ".join(map(str, shown)) if isinstance(shown, list) else str(shown)
        print(f"{key:<{width}}  {text or '-'}")
    if options.verify:
        print("verified: every file has the size and SHA-256 that the store records")
    return 0
