"""Compose the page from run folders, tables and videos."""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from ablations import formats
from ablations.sweep_table import SweepTable
from ablations.tables import Table
from conventions.files import write_text
from emospace.report.curves import chart
from emospace.report.runs import RunView, data_uri, read_runs
from emospace.report.tables import table_html

MAX_PICTURES = 6
MAX_VIDEOS = 2


def charts_by_stage(runs: Sequence[RunView], colours: dict[str, int]) -> dict[str, list[Markup]]:
    """SVG charts of every scalar, grouped by stage."""
    groups: dict[str, list[Markup]] = {}
    for stage in dict.fromkeys(run.stage for run in runs):
        members = [run for run in runs if run.stage == stage and run.history]
        names = sorted({name for run in members for name in run.history})
        drawn = [
            chart(name, {run.name: run.history[name] for run in members if name in run.history}, colours)
            for name in names
        ]
        if any(drawn):
            groups[stage] = [Markup(svg) for svg in drawn if svg]
    return groups


def stage_colours(runs: Sequence[RunView]) -> dict[str, int]:
    """A number for each run, counted within its stage: the charts of a stage show no others."""
    counts = Counter[str]()
    colours = {}
    for run in runs:
        if run.history:
            colours[run.name] = counts[run.stage]
            counts[run.stage] += 1
    return colours


def _titled(tables: Sequence[Table], sweeps: Sequence[SweepTable]) -> list[tuple[str, str]]:
    """Title and Markdown of every table."""
    papers = [(f"Table {table.paper.name}: {table.paper.title}", formats.markdown(table)) for table in tables]
    return [*papers, *((f"Sweep {sweep.name}{sweep.order}", sweep.markdown()) for sweep in sweeps)]


def write_report(
    out: Path,
    runs_folder: Path,
    tables: Sequence[Table],
    videos: Sequence[tuple[str, Path]] = (),
    figures: Sequence[Path] = (),
    sweeps: Sequence[SweepTable] = (),
    shown: Collection[str] | None = None,
) -> None:
    """Write the page to `out`, whole or not at all.

    Args:
        out: the HTML file.
        runs_folder: folder of run folders.
        tables: paper tables, filled from finished runs.
        videos: (caption, mp4 file) pairs shown first.
        figures: png or jpg files.
        sweeps: tables of sweeps, shown after the paper tables.
        shown: ids of the runs to show; all of them by default.
    """
    runs = read_runs(runs_folder, shown)
    colours = stage_colours(runs)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("page.html").render(
        runs=runs,
        colours=colours,
        charts=charts_by_stage(runs, colours),
        tables=[(title, Markup(table_html(text))) for title, text in _titled(tables, sweeps)],
        figures=[(path.stem, data_uri(path)) for path in figures],
        videos=[(caption, data_uri(path)) for caption, path in videos],
        galleries=[
            (
                run.name,
                [(path.stem, data_uri(path)) for path in run.pictures[:MAX_PICTURES]],
                [(path.stem, data_uri(path)) for path in run.videos[:MAX_VIDEOS]],
            )
            for run in runs
            if run.pictures or run.videos
        ],
        configs=Markup(json.dumps({run.name: run.config for run in runs}).replace("<", "\\u003c")),
    )
    write_text(out, page)
