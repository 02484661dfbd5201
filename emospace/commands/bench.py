"""Print parameters, FLOP (2 x MAC), time and memory of HEF, EAC and AME by sub-module and preset, at batch size 1.

HEF's figures are for a driven frame; the portrait's features (once) and the discriminator (training) are listed
separately. The paper preset takes seconds for each call on a CPU: --counts skips the timing.
"""

import argparse

from emospace.commands.output import add_json, print_json

EXAMPLE = "emospace bench --module hef --preset toy small --json"

MODULES = ("hef", "eac", "ame")
PRESETS = ("toy", "small", "paper")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace bench`."""
    parser.add_argument("--module", nargs="+", choices=MODULES, default=MODULES, help="modules (default: all)")
    presets = "sizes of the experiments toy, mead_256 (HEF alone) and mead (default: all)"
    parser.add_argument("--preset", nargs="+", choices=PRESETS, default=PRESETS, help=presets)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if any")
    parser.add_argument("--counts", action="store_true", help="count parameters and FLOP only, measure no time")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the table or the JSON document."""
    import torch

    from conventions.errors import UserError
    from emospace.bench.measure import lines, measure

    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no GPU; omit the option to measure on the CPU")
    device = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    document = measure(options.module, options.preset, device, timed=not options.counts)
    if options.json:
        print_json(document)
        return 0
    for line in lines(document):
        print(line)
    return 0
