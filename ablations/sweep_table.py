"""A sweep as a table: one row a run, its swept fields as columns, best first by the sweep's metric."""

import csv as csv_module
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ablations.formats import escape_latex, plain_markdown
from ablations.found import unusable
from experiments.rundir import RunFolder, State
from experiments.sweep import Sweep


@dataclass(frozen=True)
class SweepRow:
    """One run of a sweep."""

    id: str | None
    """None while its store, which is part of its identity, is not there."""
    label: str
    """The words after `emospace run`."""
    values: tuple[str, ...]
    """Its values of the swept fields."""
    metric: float | None
    state: str
    reason: str | None = None


@dataclass(frozen=True)
class SweepTable:
    """A sweep's runs, best first."""

    name: str
    fields: tuple[str, ...]
    metric: str | None
    maximize: bool
    rows: tuple[SweepRow, ...]

    def markdown(self) -> str:
        """GitHub Markdown."""
        head, *rows = [[plain_markdown(cell) for cell in row] for row in self._cells()]
        lines = [f"**Sweep {plain_markdown(self.name)}**{self.order}", "", *map(_bar, (head, ["---"] * len(head)))]
        reasons = [f"{row.label}: {row.reason}" for row in self.rows if row.reason]
        notes = ["", "  \n".join(map(plain_markdown, reasons))] if reasons else []
        return "\n".join([*lines, *map(_bar, rows), *notes]) + "\n"

    def latex(self) -> str:
        """A booktabs table."""
        head, *rows = [" & ".join(map(escape_latex, row)) + r" \\" for row in self._cells()]
        columns = "l" * len(self._cells()[0])
        caption = escape_latex(f"Sweep {self.name}{self.order}")
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{caption}.}}", rf"\begin{{tabular}}{{{columns}}}"]
        lines += [r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """One line a run, values in full."""
        text = io.StringIO()
        writer = csv_module.writer(text, lineterminator="\n")
        writer.writerow(["id", *self.fields, self.metric or "metric", "state", "reason"])
        for row in self.rows:
            value = "" if row.metric is None else row.metric
            writer.writerow([row.id or "", *row.values, value, row.state, row.reason or ""])
        return text.getvalue()

    def json(self) -> dict[str, Any]:
        """Plain data; what is unknown is null."""
        rows = [
            {
                "id": row.id,
                "job": row.label,
                "fields": dict(zip(self.fields, row.values, strict=True)),
                "metric": row.metric,
                "state": row.state,
                "reason": row.reason,
            }
            for row in self.rows
        ]
        goal = {"name": self.metric, "goal": "maximize" if self.maximize else "minimize"} if self.metric else None
        return {"sweep": self.name, "metric": goal, "fields": list(self.fields), "runs": rows}

    def _cells(self) -> list[list[str]]:
        """Head and rows; a sweep without a metric has no column for it."""
        head = ["id", *self.fields, *([self.metric] if self.metric else []), "state"]
        rows = []
        for row in self.rows:
            value = "-" if row.metric is None else f"{row.metric:.5g}"
            rows.append([row.id or "-", *row.values, *([value] if self.metric else []), row.state])
        return [head, *rows]

    @property
    def order(self) -> str:
        """How the rows are ordered, in brackets."""
        if not self.metric:
            return ""
        return f" (best first: the {'highest' if self.maximize else 'lowest'} {self.metric})"


def _bar(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


Found = tuple[RunFolder | None, State | str, str | None]
"""A point's run folder, its state, and why it failed."""


def sweep_table(sweep: Sweep, found: Sequence[Found]) -> SweepTable:
    """The table of a sweep; `found` has an entry for each of its jobs, in order."""
    goal, valued = sweep.goal, list[tuple[float | None, SweepRow]]()
    for job, (folder, state, reason) in zip(sweep.jobs, found, strict=True):
        if state == "done" and folder is not None and (flaw := unusable(folder)):
            state, reason = "damaged", flaw
        metric = goal.value(folder) if goal and folder is not None and state == "done" else None
        values = tuple(job.point[name] for name in sweep.fields)
        row = SweepRow(folder.id if folder else None, job.label, values, metric, state, reason)
        valued.append((metric, row))
    rows = goal.best_first(valued) if goal else [row for _, row in valued]
    return SweepTable(
        sweep.name, sweep.fields, goal.metric if goal else None, bool(goal and goal.maximize), tuple(rows)
    )


def folder_found(folder: RunFolder | None) -> Found:
    """What is found of a point by its folder alone."""
    if folder is None:
        return None, "missing", None
    found = folder.inspect()
    return folder, found.state, found.flaw or found.status.get("reason")
