"""Write a toy world: synthetic actors in MEAD's own layout, with speech, 3DMM coefficients and captioned images."""

import argparse
from pathlib import Path

from conventions.errors import UserError
from emospace.commands.output import add_json, print_json, progress

LARGEST_SEED, LARGEST_SIZE = 2**32 - 1, 4096
EXAMPLE = "emospace toy work/toy --preset tiny"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace toy`."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the world (default 0)")
    parser.add_argument(
        "--preset", choices=["default", "small", "tiny"], default="default", help="42, 16 or 6 actors (default: 42)"
    )
    parser.add_argument("--size", type=int, help="side of the square videos in pixels (default 160, tiny: 96)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2); any number gives the same bytes")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Write the world; a finished one is not changed."""
    from toyworld.world import write_world

    for name, value, low, high in (
        ("--seed", options.seed, 0, LARGEST_SEED),
        ("--workers", options.workers, 1, 1024),
        ("--size", 160 if options.size is None else options.size, 32, LARGEST_SIZE),
    ):
        if not low <= value <= high:
            raise UserError(f"{name}: {value} is out of range; it must be between {low} and {high}")
    manifest = write_world(
        options.folder,
        seed=options.seed,
        preset=options.preset,
        size=options.size,
        workers=options.workers,
        progress=progress("toy world"),
    )
    if options.json:
        print_json(manifest)
    else:
        print(f"{options.folder}: toy world, seed {options.seed}, preset {options.preset} (synthetic: not MEAD)")
    return 0
