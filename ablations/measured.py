"""Measurements for docs/results.json from finished runs: tables, and with Table 3 the metrics of single stages.

`python -m ablations.measured --runs RUNS --preset toy --seeds 0 1 2 --machine "two cores, no GPU" --tables 3 unseen`
replaces those of the same title and keeps the others; `python -m ablations.results` then writes the page. Config words
such as `hef.steps=400` come first.
"""

import argparse
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablations.results import DOCS, Measurement
from ablations.statistics import Difference, Summary, summarise
from ablations.tables import Row, Table, ask, fill_table
from conventions.errors import UserError, counted
from conventions.files import write_text
from experiments.rundir import RunFolder
from experiments.stage import StageRun

DIGITS = 4
TITLES = {"3": "Table 3", "unseen": "Unseen styles", "engineering": "Switches that the paper does not have"}
"""Tables of the page and their titles there."""
ARROWS = {"EFD": "EFD ↓", "LMD": "LMD ↓", "Sync": "Sync ↑"}
AGREES = {True: "**{}**", False: "{} (against)", None: "{}"}
"""How an interval is marked, by whether it goes in the paper's direction."""
AME_METRICS = {
    "r1_emotion/text-image": "R@1 of emotions, text to image",
    "r1_emotion/text-audio": "R@1 of emotions, text to audio",
    "intensity_spearman/text": "rank correlation of intensity and level, text",
    "intensity_spearman/image": "the same, images",
    "intensity_spearman/audio": "the same, voices",
    "unseen_accuracy/image": "unseen styles recognised in images",
    "unseen_accuracy/audio": "unseen styles recognised in voices",
}
EAC_METRICS = {
    "coefficient_error": "error",
    "mouth_correlation": "mouth",
    "brow_correlation": "brows",
    "slider/coefficient_error": "error with the slider",
    "slider/left_at_zero": "emotion left at level 0",
}
HEF_METRICS = {"PSNR": "PSNR of re-enactment", "flow_error_px": "flow error, px", "still_flow_error_px": "without flow"}


@dataclass(frozen=True)
class Stage:
    """A table of one stage's own metrics: a row for each variant that changes this stage."""

    title: str
    path: tuple[str, ...]
    """Parents to follow from the evaluation."""
    variants: Mapping[str, str]
    metrics: Mapping[str, str]


ENCODINGS = {"enc_onehot": "One-hot", "enc_gpt2": "GPT2"}
STAGES = (
    Stage("AME: retrieval and intensity", ("eac", "ame"), {"full": "CLIP", **ENCODINGS}, AME_METRICS),
    Stage(
        "EAC: ablations",
        ("eac",),
        {"full": "full", "eac_wo_emo": "w/o L_emo", **ENCODINGS, "eac_mlp": "MLPs", "eac_gru": "GRUs"},
        EAC_METRICS,
    ),
    Stage(
        "HEF: ablations", ("hef",), {"full": "full", "hef_wo_res": "w/o res.", "hef_wo_hie": "w/o hie."}, HEF_METRICS
    ),
)


def number(found: Summary | None) -> str:
    """Mean and, in brackets, standard deviation over seeds; empty without a value."""
    if found is None or not found.n:
        return ""
    return f"{found.mean:.{DIGITS}g}" + (f" ({found.sd:.2g})" if found.n > 1 else "")


def interval(difference: Difference | None, agrees: bool | None) -> str:
    """The 95 % interval of a difference, bold in the paper's direction."""
    if difference is None:
        return ""
    return AGREES[agrees].format(f"{difference.low:.2g} .. {difference.high:.2g}")


def table_rows(table: Table) -> list[list[str]]:
    """One row for each variant and reference: values, and intervals of the differences to the full model."""
    against = table.paper.against
    full = next(row for row in table.rows if row.variant == against)
    others = [row for row in table.rows if row.variant != against]
    first = dataclasses.replace(full, group="", title="full model")
    return [_cells(row, table.paper.metrics) for row in (first, *others, *table.references)]


def _cells(row: Row, metrics: Sequence[str]) -> list[str]:
    directions = {one.metric: interval(one.difference, one.reproduced) for one in row.directions}
    cells = [row.group, row.title]
    for metric in metrics:
        cells += [number(row.values.get(metric)), directions.get(metric, "")]
    return cells


def stage_rows(stage: Stage, planned: Mapping[str, Mapping[int, StageRun]], runs: Path) -> list[list[str]]:
    """One row for each variant: mean and standard deviation over seeds of the stage's test metrics."""
    return [
        [title, *(number(summarise([one.get(metric, math.nan) for one in documents])) for metric in stage.metrics)]
        for variant, title in stage.variants.items()
        if (documents := _documents(planned[variant], stage.path, runs))
    ]


def _documents(by_seed: Mapping[int, StageRun], path: Sequence[str], runs: Path) -> list[Mapping[str, float]]:
    found = []
    for run in by_seed.values():
        for role in path:
            run = run.parents[role]
        if run.folder(runs).state() == "done":
            found.append(run.folder(runs).read("metrics.json")["metrics"])
    return found


def measure(
    runs: Path,
    preset: str,
    seeds: Sequence[int],
    machine: str,
    names: Sequence[str],
    overrides: Sequence[str] = (),
    partial: bool = False,
) -> list[Measurement]:
    """The measurements of an experiment's finished runs.

    Args:
        runs: folder of the run folders.
        preset: experiment of the runs.
        seeds: seeds to average over.
        machine: where the runs were trained, in words.
        names: tables, keys of `TITLES`; Table 3 brings those of its stages.
        overrides: config words of the runs, such as `hef.steps=400`.
        partial: leave out and name the variants that are not finished on all seeds.

    Returns:
        One measurement for each table and stage.

    Raises:
        UserError: a run of one of these tables is missing; with `partial`, of the full model.
    """
    measured = []
    for name in names:
        asked = ask(name, preset, seeds, overrides)
        planned = asked.planned()
        table = fill_table(asked, planned, runs)
        finished, absent = _finished(table)
        if absent and not (partial and any(row.variant == table.paper.against for row in finished)):
            missing = f"{len(table.missing)} runs of {TITLES[name]} are missing, first {table.missing[0]}"
            raise UserError(f"{runs}: {missing}")
        table = dataclasses.replace(table, rows=finished)
        date, commit = _origin(next(iter(planned[table.paper.against].values())).folder(runs))
        words = ["emospace table", name, *overrides, "--preset", preset, "--seeds", *map(str, seeds), "--run"]
        command = " ".join(words)
        if name == "3":
            for stage in STAGES:
                columns, rows = ["variant", *stage.metrics.values()], stage_rows(stage, planned, runs)
                measured.append(Measurement(stage.title, command, date, commit, machine, columns, rows))
        columns, rows = _columns(table), table_rows(table)
        notes = [*_notes(table), *([f"Not measured: {', '.join(absent)}."] if absent else [])]
        measured.append(Measurement(TITLES[name], command, date, commit, machine, columns, rows, notes))
    return measured


def _finished(table: Table) -> tuple[tuple[Row, ...], list[str]]:
    """The rows that have a run on each seed, and the titles of the others."""
    metric = table.paper.metrics[0]
    finished = tuple(row for row in table.rows if metric in row.values and row.values[metric].n == row.wanted)
    return finished, [row.title for row in table.rows if row not in finished]


def _notes(table: Table) -> list[str]:
    """How a table was made, and how many clips its variants refused."""
    seeds = f"{len(table.seeds)} seeds" if len(table.seeds) > 1 else "one seed"
    what = "Mean and, in brackets, standard deviation over" if len(table.seeds) > 1 else "Values of"
    drawn = "seeds, actors and clips" if len(table.seeds) > 1 else "actors and clips, without that of seeds"
    first = (
        f"{what} {seeds}; {len(table.clips)} test clips; substitute networks. Difference to the full model: 95 % "
        f"interval of a bootstrap over {drawn}. Bold: in the paper's direction."
    )
    return [first, *(f"{row.title}: {counted(row.refused, 'clip')} refused." for row in table.rows if row.refused)]


def _columns(table: Table) -> list[str]:
    pairs = [(ARROWS.get(metric, metric), "difference") for metric in table.paper.metrics]
    return ["group", "variant", *(name for pair in pairs for name in pair)]


def _origin(folder: RunFolder) -> tuple[str, str]:
    """Date and commit of a run."""
    origin = folder.read("provenance.json")
    return origin["started"][:10], origin["git"]["commit"][:7]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", metavar="key=value", nargs="*")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--preset", default="toy")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--tables", nargs="+", choices=TITLES, default=["3", "unseen"])
    parser.add_argument("--partial", action="store_true", help="leave out and name variants that are not finished")
    options = parser.parse_args()
    asked = (options.runs, options.preset, options.seeds, options.machine, options.tables)
    found = measure(*asked, options.overrides, options.partial)
    made = {one.title: one for one in found}
    path = DOCS / "results.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    figures = {one["title"]: one.get("figure", "") for one in content["measured"]}
    kept = [one for one in content["measured"] if one["title"] not in made]
    new = [dataclasses.asdict(one) | {"figure": figures.get(title, "")} for title, one in made.items()]
    content["measured"] = [*new, *kept]
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
