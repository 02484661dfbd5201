"""Write one safetensors file with all that `talk` needs: networks, configs and a model card.

`talk --model FILE` and `Talker.from_file` read it on any machine, without the run folder or the store.
"""

import argparse
from pathlib import Path

from conventions.errors import UserError
from emospace.commands.output import add_json, add_runs, print_json

EXAMPLE = "emospace export evaluate.s0.1a2b3c4d model.emospace"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace export`."""
    parser.add_argument("run_id", metavar="RUN", help="finished run of stage evaluate or hef")
    parser.add_argument("out", type=Path, metavar="FILE", help="model file to write, such as model.emospace")
    parser.add_argument("--half", action="store_true", help="store weights in half precision: half the size")
    add_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Write the file; print its size and content."""
    from emospace.talking.from_run import find_run, parts_of
    from emospace.talking.model_file import SUFFIX, write_model

    if options.out.suffix != SUFFIX:
        raise UserError(f"out: {options.out}: a model file ends in {SUFFIX}")
    parts = parts_of(find_run(options.runs, options.run_id))
    write_model(options.out, parts, options.half)
    size = options.out.stat().st_size
    if options.json:
        print_json({"out": str(options.out), "bytes": size, "face_model": parts.face_model, "card": parts.card})
        return 0
    print(f"{options.out}: {size / 2**20:.1f} MiB, {', '.join(parts.configs)} of run {options.run_id}")
    return 0
