"""Score the videos of any method with the metric protocol: GENERATED and TRUTH are two folders, or two videos."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from conventions.errors import EXIT_FAILURE, UserError
from emospace.commands.output import add_json, print_json, progress

if TYPE_CHECKING:
    from emospace.scoring.pairs import Pairs
    from emospace.scoring.score import Scores

EXAMPLE = "emospace score results/ MEAD/ --method wav2lip --out scores/wav2lip"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace score`."""
    parser.add_argument("generated", metavar="GENERATED", type=Path, help="videos of the method to score")
    parser.add_argument("truth", metavar="TRUTH", type=Path, help="true videos with the same relative paths or stems")
    parser.add_argument("--pairs", type=Path, help="CSV with the columns generated,truth: paths in the two folders")
    parser.add_argument("--method", metavar="NAME|YAML", help="layout of GENERATED: wav2lip, pc_avs, ..., or a YAML")
    parser.add_argument("--name", help="the method's name in the table (default: that of --method, else of GENERATED)")
    parser.add_argument("--out", type=Path, help="folder for metrics.json and the values of each clip")
    parser.add_argument("--weights", type=Path, help="folder that holds the published networks (see emospace doctor)")
    parser.add_argument(
        "--networks",
        metavar="published|YAML",
        help="published: require every published network; a YAML file maps role to name, path or module:attribute, "
        "and those are required (default: the published networks that are found)",
    )
    parser.add_argument(
        "--crop", choices=("wide-v1", "none"), default="wide-v1", help="faces (default), or whole frames without Sync"
    )
    parser.add_argument("--by", choices=("emotion", "level", "actor"), help="also print means by this label")
    parser.add_argument("--check", metavar="FOLDER", type=Path, help="score again and compare with the files of --out")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the table or the JSON document; --out writes files, --check compares."""
    from emospace.scoring.markdown import markdown
    from emospace.scoring.score import check_folder, differences, other_files, read_document, score

    pairs, title = _pairs(options)
    document = None if options.check is None else read_document(options.check)
    if document is not None and (lines := other_files(document, pairs)):
        print("\n".join(lines))
        return EXIT_FAILURE
    if options.out is not None:
        check_folder(options.out)
    name = options.name or title
    choice = _networks(options.networks)
    scores = score(pairs, name, options.weights, progress("score"), options.crop, choice)
    if options.out is not None:
        scores.write(options.out)
    _print(options, scores, markdown)
    if document is None or options.check is None:
        return 0
    found = differences(options.check, document, scores)
    print("\n".join(found) or f"{options.check}: every file and value is as it was scored", file=sys.stderr)
    return EXIT_FAILURE if found else 0


def _print(options: argparse.Namespace, scores: "Scores", markdown) -> None:
    if not options.json:
        print(markdown(scores, options.by))
        return
    from emospace.scoring.markdown import by_label

    document = scores.json()
    if options.by is not None:
        groups = by_label(scores.rows["per_clip"], options.by)
        document["by"] = {g: {m: v if v == v else None for m, v in means.items()} for g, means in groups.items()}
    print_json(document)


def _pairs(options: argparse.Namespace) -> tuple["Pairs", str]:
    """The pairs, and the method's name without --name."""
    from ablations.methods import load_layout
    from emospace.scoring.pairs import find_pairs, match_layout

    if options.method is None:
        return find_pairs(options.generated, options.truth, options.pairs), _name(options.generated)
    if options.pairs is not None:
        raise UserError("--pairs and --method exclude each other: both assign generated to true videos")
    layout = load_layout(options.method)
    return match_layout(options.generated, options.truth, layout), layout.title


def _networks(given: str | None) -> "str | dict[str, str] | None":
    """The choice of networks: a name, or the mapping of a YAML file."""
    if given is None or not given.endswith((".yaml", ".yml")):
        return given
    import yaml

    try:
        content = yaml.safe_load(Path(given).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"--networks {given}: cannot be read ({str(error).splitlines()[0]})") from error
    if not isinstance(content, dict) or not all(isinstance(part, str) for pair in content.items() for part in pair):
        raise UserError(f"--networks {given}: expected a mapping of role to name, path or module:attribute")
    return content


def _name(generated: Path) -> str:
    path = generated.resolve()
    return path.stem if path.is_file() else path.name
