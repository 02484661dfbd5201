"""A table as Markdown, LaTeX, CSV and JSON."""

import csv as csv_module
import io
import math
from collections.abc import Callable
from typing import Any

from ablations.others import scored_notes
from ablations.statistics import LEAST_SEEDS, Difference, Summary, decided, needed
from ablations.tables import Direction, Row, Table
from conventions.errors import counted
from metrics.protocol import HIGHER_IS_BETTER

DIGITS = {
    **{"LMD": 2, "LMD_face": 2, "Sync": 2, "SyncDistance": 2, "SyncOffset": 1, "FID": 2, "PSNR": 2, "CSIM": 2},
    **{"CSIM_source": 2, "SSIM": 2, "FVD": 1, "EFID": 2},
}
CSV_COLUMNS = (
    *("table", "preset", "group", "variant", "title", "metric", "mean", "sd", "n", "wanted", "paper"),
    *("difference", "low", "high", "seeds", "actors", "clips", "reproduced", "stand_in", "unlike"),
)
SHOWN_MISSING = 8
"""Missing runs that the notes of a Markdown table list."""
SIGNS = {True: "yes", False: "NO", None: "undecided"}
STAND_IN = (
    "substitute networks, trained on the toy world, in place of the published ones: not comparable with the paper"
)

FIRST_IDENTITY = (
    "Runs of the first identity, found by experiment, variant and seed, and scored by an older protocol: {}."
)


def markdown(table: Table) -> str:
    """Rows with ours and the paper's value side by side, the direction, and where everything comes from."""
    printed = _has_paper(table)
    titles = [_title(table, metric) for metric in table.paper.metrics]
    cells = [cell for title in titles for cell in ((title, "paper") if printed else (title,))]
    head = ["group", "variant", *cells, "paper's direction" if printed else "difference"]
    best = _best(table)
    lines = [f"**Table {table.paper.name}: {table.paper.title}** (preset {table.preset}, seeds {_seeds(table)})", ""]
    lines += [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [_markdown_row(table, row, best, index) for index, row in enumerate([*table.rows, *table.references])]
    lines += ["", *_notes(table)]
    return "\n".join(lines) + "\n"


def _markdown_row(table: Table, row: Row, best: set[tuple[int, str]], index: int) -> str:
    cells = []
    for metric in table.paper.metrics:
        text = _value(row, metric, " ± ")
        cells.append(f"**{text}**" if (index, metric) in best else text)
        if _has_paper(table):
            cells.append(_paper(row, metric))
    names = map(plain_markdown, (row.group, row.title))
    return f"| {' | '.join([*names, *cells, _directions(row)])} |"


def _has_paper(table: Table) -> bool:
    """Whether the paper prints a value of some row; a table of one's own may have none."""
    return any(row.paper for row in table.rows)


def _notes(table: Table) -> list[str]:
    notes = ["Mean ± sd over seeds (n); bold: best of its group. Direction: sign of the difference to the full row, by"]
    notes[0] += " a 95 % bootstrap over seeds (paired), actors and clips; undecided where the interval holds 0 or with"
    notes[0] += f" fewer than {LEAST_SEEDS} seeds."
    if any(d.metric not in row.paper for row in table.rows for d in row.directions):
        notes[0] += " Better, worse: than the full row, where the paper has no value."
    if marked := [metric for metric in table.paper.metrics if metric in table.stand_ins]:
        notes.append(f"† {', '.join(marked)}: {STAND_IN}.")
    notes += [
        f"{plain_markdown(row.title)}: {counted(row.refused, 'clip')} refused (a style it cannot express)."
        for row in table.rows
        if row.refused
    ]
    notes += map(plain_markdown, [*scored_notes(table), *undecided_notes(table)])
    if table.first_identity:
        notes.append(FIRST_IDENTITY.format(", ".join(map(plain_markdown, table.first_identity))))
    if table.missing:
        listed = plain_markdown(_missing(table))
        notes.append(f"Missing ({len(table.missing)}): {listed}; `emospace table ... --run` executes them.")
    notes.append(plain_markdown("; ".join(table.footer)))
    return ["  \n".join(notes)]


def latex(table: Table) -> str:
    """A booktabs table; needs \\usepackage{booktabs}."""
    metrics, best = table.paper.metrics, _best(table)
    marks = {m: f"{_arrow(m, latex=True)}{_dagger(table, m, latex=True)}" for m in metrics}
    heads = " & ".join(f"{escape_latex(m)}{mark} & paper" for m, mark in marks.items())
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.paper.title)} (preset {escape_latex(table.preset)}).}}",
    ]
    lines += [rf"\begin{{tabular}}{{ll{'rr' * len(metrics)}}}", r"\toprule", rf"group & variant & {heads} \\"]
    group = None
    for index, row in enumerate([*table.rows, *table.references]):
        if row.group != group:
            lines.append(r"\midrule")
        cells = [_latex_cell(row, m, (index, m) in best) for m in metrics]
        shown = escape_latex(row.group) if row.group != group else ""
        lines.append(rf"{shown} & {escape_latex(row.title)} & {' & '.join(cells)} \\")
        group = row.group
    lines += [r"\bottomrule", r"\end{tabular}", *_latex_notes(table), r"\end{table}"]
    return "\n".join(lines) + "\n"


def _latex_cell(row: Row, metric: str, bold: bool) -> str:
    text = _value(row, metric, r" $\pm$ ", r"$^\ddagger$").replace("-", "--" if metric not in row.values else "-")
    shown = rf"\textbf{{{text}}}" if bold else text
    return f"{shown} & {_paper(row, metric).replace('-', '--')}"


def _latex_notes(table: Table) -> list[str]:
    notes = [r"\par\footnotesize Mean $\pm$ sd over seeds (n)."]
    notes += map(escape_latex, [*scored_notes(table), *undecided_notes(table)])
    if table.stand_ins:
        notes.append(rf"$\dagger$ {escape_latex(STAND_IN)}.")
    if table.first_identity:
        notes.append(escape_latex(FIRST_IDENTITY.format(", ".join(table.first_identity))))
    if table.missing:
        notes.append(rf"Missing: {escape_latex('; '.join(table.missing))}.")
    return [*notes, escape_latex("; ".join(table.footer)) + "."]


def csv(table: Table) -> str:
    """One line for each row and metric, under the names of `CSV_COLUMNS`."""
    text = io.StringIO()
    writer = csv_module.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in [*table.rows, *table.references]:
        for metric in table.paper.metrics:
            writer.writerow([table.paper.name, table.preset, *_csv_cells(table, row, metric)])
    return text.getvalue()


def _csv_cells(table: Table, row: Row, metric: str) -> list[Any]:
    value = row.values.get(metric, Summary(math.nan, math.nan, 0))
    direction = next((d for d in row.directions if d.metric == metric), None)
    found = direction.difference if direction else None
    difference = [""] * 6
    if found:
        difference = [found.mean, found.low, found.high, found.seeds, found.actors, found.clips]
    agrees = "" if direction is None or direction.reproduced is None else str(direction.reproduced).lower()
    numbers = [_finite(value.mean), _finite(value.sd), value.n, row.wanted, row.paper.get(metric, "")]
    marks = [metric in table.stand_ins and row.scored is None, metric in row.unlike]
    return [
        *(row.group, row.variant or "", row.title, metric, *numbers, *difference, agrees),
        *(str(mark).lower() for mark in marks),
    ]


def json_document(table: Table) -> dict[str, Any]:
    """Plain data; what is unknown is null."""
    return {
        "table": table.paper.name,
        "title": table.paper.title,
        "preset": table.preset,
        "seeds": list(table.seeds),
        "protocol": table.protocol,
        "metrics": {
            m: {"higher_is_better": HIGHER_IS_BETTER[m], "stand_in": m in table.stand_ins} for m in table.paper.metrics
        },
        "rows": [_json_row(table, row) for row in table.rows],
        "references": [_json_row(table, row) for row in table.references],
        "missing": list(table.missing),
        "first_identity": list(table.first_identity),
        "footer": list(table.footer),
    }


def _json_row(table: Table, row: Row) -> dict[str, Any]:
    metrics = {}
    for metric in table.paper.metrics:
        value = row.values.get(metric, Summary(math.nan, math.nan, 0))
        numbers = {"mean": _none(value.mean), "sd": _none(value.sd), "n": value.n, "wanted": row.wanted}
        metrics[metric] = {**numbers, "paper": row.paper.get(metric)}
        if row.scored is not None:
            metrics[metric]["unlike"] = metric in row.unlike
    directions = [
        {
            "metric": d.metric,
            "against": d.against,
            "reproduced": d.reproduced,
            "difference": d.difference.mean if d.difference else None,
            **_interval(d.difference),
        }
        for d in row.directions
    ]
    facts = {"group": row.group, "variant": row.variant, "title": row.title, "refused": row.refused}
    facts["scored"] = row.scored.facts if row.scored else None
    return {**facts, "metrics": metrics, "directions": directions}


def _missing(table: Table) -> str:
    """The first missing runs, with the state of those that have begun."""
    shown = [line.removesuffix(": missing") for line in table.missing[:SHOWN_MISSING]]
    more = len(table.missing) - len(shown)
    return "; ".join([*shown, f"{more} more"] if more else shown)


def _interval(difference: Difference | None) -> dict[str, Any]:
    if difference is None:
        return {"interval": None}
    counts = {"seeds": difference.seeds, "actors": difference.actors, "clips": difference.clips}
    facts = {"interval": [difference.low, difference.high], "width": difference.width, **counts}
    return {**facts, "needed": None if decided(difference) else needed(difference)}


def undecided_notes(table: Table) -> list[str]:
    """For each undecided difference the interval's width, what it rests on, and what would decide it."""
    notes = []
    for row in table.rows:
        open_ones = [d for d in row.directions if d.difference is not None and not decided(d.difference)]
        for direction in open_ones:
            one = direction.difference
            assert one is not None
            counts = {"seed": one.seeds, "actor": one.actors, "clip": one.clips}
            rests = ", ".join(f"{count} {thing}{'' if count == 1 else 's'}" for thing, count in counts.items())
            width = f"interval {one.width:.{DIGITS.get(direction.metric, 3) + 1}f} wide over {rests}"
            notes.append(f"{row.title}, {direction.metric}: undecided ({width}); needs {needed(one)}.")
    return notes


def _best(table: Table) -> set[tuple[int, str]]:
    """(row, metric) of the best of our values in each group with at least two."""
    best: set[tuple[int, str]] = set()
    for group in dict.fromkeys(row.group for row in table.rows):
        for metric in table.paper.metrics:
            values = {
                i: row.values[metric].mean
                for i, row in enumerate(table.rows)
                if row.group == group and row.values and metric not in row.unlike
            }
            finite = {i: value for i, value in values.items() if math.isfinite(value)}
            if len(finite) > 1:
                choose: Callable[..., int] = max if HIGHER_IS_BETTER[metric] else min
                best.add((choose(finite, key=finite.__getitem__), metric))
    return best


def _value(row: Row, metric: str, plus_minus: str, unlike: str = " ‡") -> str:
    """`0.065 ± 0.002 (3)`, `0.065 (1/3)` with a seed missing, `missing (0/3)`, `-` where nothing is expected."""
    if metric not in row.values:
        return "-"
    value, digits = row.values[metric], DIGITS.get(metric, 3)
    if row.wanted == 0:
        return f"{value.mean:.{digits}f}{unlike if metric in row.unlike else ''}" if value.n else "-"
    count = str(value.n) if value.n == row.wanted else f"{value.n}/{row.wanted}"
    if value.n == 0:
        return f"missing ({count})"
    spread = f"{plus_minus}{value.sd:.{digits}f}" if value.n > 1 else ""
    return f"{value.mean:.{digits}f}{spread} ({count})"


def _paper(row: Row, metric: str) -> str:
    return f"{row.paper[metric]:.{DIGITS.get(metric, 3)}f}" if metric in row.paper else "-"


def _directions(row: Row) -> str:
    return ", ".join(f"{d.metric} {_word(row, d)}" for d in row.directions) or "-"


def _word(row: Row, direction: Direction) -> str:
    """Whether the paper's direction is ours; where the paper has no value, how ours stands to the full row's."""
    found = direction.difference
    if found is None:
        return "missing"
    if direction.metric in row.paper or not decided(found):
        return SIGNS[direction.reproduced]
    return "better" if (found.low > 0) == HIGHER_IS_BETTER[direction.metric] else "worse"


def _title(table: Table, metric: str) -> str:
    return f"{metric} {_arrow(metric)}{_dagger(table, metric)}"


def _arrow(metric: str, latex: bool = False) -> str:
    up = HIGHER_IS_BETTER[metric]
    if latex:
        return r" $\uparrow$" if up else r" $\downarrow$"
    return "↑" if up else "↓"


def _dagger(table: Table, metric: str, latex: bool = False) -> str:
    return "" if metric not in table.stand_ins else r"$^\dagger$" if latex else " †"


def _seeds(table: Table) -> str:
    return " ".join(map(str, table.seeds))


_LATEX = {
    **{sign: f"\\{sign}" for sign in "_%&#${}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$", "†": r"$\dagger$", "‡": r"$\ddagger$"},
    **dict.fromkeys("\n\r\t", " "),
}


def escape_latex(text: str) -> str:
    """Text, such as a folder's name, as LaTeX shows it."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def plain_markdown(text: str) -> str:
    """Text, such as a folder's name, as Markdown shows it inside a table: `|` would begin a cell."""
    return "".join(f"\\{sign}" if sign in "\\|`*~$<>" else " " if sign in "\n\r\t" else sign for sign in text)


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else ""


def _none(value: float) -> float | None:
    return value if math.isfinite(value) else None
