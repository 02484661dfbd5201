"""Draw a figure of the paper from the weights of finished runs and the clips of their store.

5 unseen styles, 6 unseen actors, 7 mixtures and levels, 8 intensity tokens, 9 L_emo, 10 ablations of EAC, 11 ablations
of the flow. --out NAME.mp4 is the figure in motion (all but 8).
"""

import argparse
from pathlib import Path

from emospace.commands.output import add_runs

EXAMPLE = "emospace figure 6 --preset toy --out figure6.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace figure`."""
    parser.add_argument("number", metavar="5|6|7|8|9|10|11", help="number of the figure in the paper")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="config keys of the runs")
    parser.add_argument("--preset", default="toy", help="experiment whose runs are drawn (default toy)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the runs (default 0)")
    parser.add_argument("--rows", type=int, default=3, help="clips to show (default 3)")
    parser.add_argument("--out", type=Path, help="file to write, .png or .mp4 (default figureN.png)")
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    """Draw and write the figure; its path on stdout."""
    from ablations.figures import Request, draw
    from conventions.errors import UserError

    if options.rows < 1:
        raise UserError(f"--rows {options.rows}: must be at least 1")
    out = options.out or Path(f"figure{options.number}.png")
    request = Request(options.runs, options.preset, options.seed, options.overrides, options.rows)
    draw(options.number, request).write(out)
    print(out)
    return 0
