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
    for row in rows:
        changes = " ".join(f"{key}={value}" for key, value in row["overrides"].items()) or "(nothing)"
        print(f"{row['id']:<16} {row['title']:<20} table {row['table'] or '-':<10} {changes}")
    return 0
