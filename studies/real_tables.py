"""The tables of docs/real.md, from what the two studies wrote.

python -m studies.real_tables [--eac OUT.json] [--ame OUT.json]
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

VOICES = (
    ("regression/audio", "logistic regression, voices"),
    ("known/audio", "AME, voices, among the seven emotions of the set"),
    ("accuracy/audio", "AME, voices, among MEAD's eight"),
    ("synonym_accuracy/audio", "AME, voices, by synonyms"),
    ("intensity_spearman/audio", "AME, voices, intensity (rank correlation)"),
    ("accuracy/image", "AME, pictures"),
    ("synonym_accuracy/image", "AME, pictures, by synonyms"),
)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def eac_tables(document: Mapping[str, Any]) -> Iterator[str]:
    """Means by speech feature, and the clips of each."""
    features = [key for key, value in document.items() if isinstance(value, dict)]
    rows = []
    for name in features:
        mean = document[name]["mean"]
        for kind, title in (("ridge", "ridge regression"), ("eac", "EAC")):
            own = mean[kind]
            keys = ("coefficient_error", "coefficient_error_mean_face", "coefficient_error_copy_previous")
            errors = [f"{own[key]:.3f}" if key in own else "" for key in keys]
            rows.append([f"`{name}`", title, f"{own['plain']:.3f}", f"{own['best_lag']:.3f}", *errors])
    head = ("feature", "method", "correlation", "at the best lag", "coefficient error", "mean face", "previous frame")
    yield table(head, rows)
    clips = [row["clip"] for row in document[features[0]]["clips"]]
    columns = [(name, kind) for name in features for kind in ("ridge", "eac")]
    by_clip = {name: {row["clip"]: row for row in document[name]["clips"]} for name in features}
    cells = [
        [
            clip,
            *(_pair(by_clip[name][clip][kind]) for name, kind in columns),
            str(by_clip[features[0]][clip]["eac"]["lag"]),
        ]
        for clip in sorted(clips)
    ]
    yield table(["clip", *(f"{kind}, `{name}`" for name, kind in columns), "best lag"], cells)


def _pair(row: Mapping[str, float]) -> str:
    return f"{row['plain']:.2f} / {row['best_lag']:.2f}"


def ame_table(document: Mapping[str, Any]) -> str:
    """One column for each group of actors left out, and the mean."""
    folds = document["folds"]
    head = ["", *(f"{row['left_out'][0]} to {row['left_out'][-1]}" for row in folds), "mean"]
    rows = [
        [title, *(f"{row[name]:.3f}" for row in folds), f"{document['mean'][name]:.3f}"]
        for name, title in VOICES
        if name in folds[0]
    ]
    return table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eac", type=Path)
    parser.add_argument("--ame", type=Path)
    options = parser.parse_args()
    if options.eac:
        print(*eac_tables(json.loads(options.eac.read_text())), sep="\n\n")
    if options.ame:
        document = json.loads(options.ame.read_text())
        print(
            ame_table(document), f"Logistic regression on grey pixels: {document['regression/image']:.3f}", sep="\n\n"
        )


if __name__ == "__main__":
    main()
