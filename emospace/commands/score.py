"""The metric protocol over any method's videos: GENERATED and TRUTH are two folders, or two videos."""

import argparse
from pathlib import Path

from conventions.errors import UserError
from emospace.commands.output import add_json, print_json, progress

EXAMPLE = "emospace score results/ MEAD/ --method wav2lip --out scores/wav2lip"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace score`."""
    parser.add_argument("generated", metavar="GENERATED", type=Path, help="videos of the method to score")
    parser.add_argument("truth", metavar="TRUTH", type=Path, help="true videos: same relative paths, or same stems")
    parser.add_argument("--pairs", type=Path, help="CSV with the columns generated,truth: paths in the two folders")
    parser.add_argument("--method", metavar="NAME|YAML", help="layout of GENERATED: wav2lip, pc_avs, ..., or your own")
    parser.add_argument("--name", help="the method's name in the table (default: that of --method, else of GENERATED)")
    parser.add_argument("--out", type=Path, help="folder for metrics.json and the values clip by clip")
    parser.add_argument("--weights", type=Path, help="folder that holds the published networks (see emospace doctor)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the table or the JSON document; write both kinds of file with --out."""
    from ablations.methods import load_layout
    from emospace.scoring.laid_out import match_layout
    from emospace.scoring.pairs import find_pairs

    if options.method is None:
        layout, pairs = None, find_pairs(options.generated, options.truth, options.pairs)
    elif options.pairs is not None:
        raise UserError("--pairs and --method both say which videos belong together; give one of them")
    else:
        layout = load_layout(options.method)
        pairs = match_layout(options.generated, options.truth, layout)
    from emospace.scoring.markdown import markdown
    from emospace.scoring.score import check_folder, score

    if options.out is not None:
        check_folder(options.out)
    name = options.name or (_name(options.generated) if layout is None else layout.title)
    scores = score(pairs, name, options.weights, progress("score"))
    if options.out is not None:
        scores.write(options.out)
    if options.json:
        print_json(scores.json())
    else:
        print(markdown(scores))
    return 0


def _name(generated: Path) -> str:
    path = generated.resolve()
    return path.stem if path.is_file() else path.name
