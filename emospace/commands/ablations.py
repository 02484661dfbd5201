"""List the registered variants: what each one changes, the table that shows it, the result that the paper predicts."""

import argparse

from emospace.commands.output import add_json, print_json

EXAMPLE = "emospace ablations --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace ablations`."""
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """One line a variant."""
    from ablations.paper import tables_of
    from ablations.registry import VARIANTS

    rows = [
        {
            "id": variant.id,
            "title": variant.title,
            "table": ", ".join(tables_of(variant.id)),
            "stage": variant.stage,
            "overrides": dict(variant.overrides),
            "expected": dict(variant.expected),
            "claim": variant.claim,
        }
        for variant in VARIANTS
    ]
    if options.json:
        print_json(rows)
        return 0
    cells = [("variant", "title", "tables", "what it changes")]
    cells += [
        (row["id"], row["title"], row["table"] or "-", " ".join(f"{k}={v}" for k, v in row["overrides"].items()) or "-")
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0
