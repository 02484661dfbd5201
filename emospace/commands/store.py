"""Describe a store: actors, clips, frames, hours, hash, what was left out and why; or verify its bytes."""

import argparse
from pathlib import Path

from emospace.commands.output import add_json, print_json

EXAMPLE = "emospace store work/store --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace store`."""
    parser.add_argument("store", metavar="STORE", type=Path)
    parser.add_argument("--verify", action="store_true", help="read every byte and compare with the recorded hashes")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what the store holds."""
    from datamodules.store import Store, describe

    store = Store(options.store)
    if options.verify:
        store.verify()
    description = describe(store)
    if options.json:
        print_json(description)
        return 0
    for key, value in description.items():
        shown = ", ".join(f"{name}: {count}" for name, count in value.items()) if isinstance(value, dict) else value
        print(f"{key:<16} {', '.join(map(str, shown)) if isinstance(shown, list) else shown}")
    return 0
