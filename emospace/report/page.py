"""Compose the page from run folders, tables and videos; images and videos are data URIs, so that it is one file."""

import base64
import io
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from PIL import Image

from ablations import formats
from ablations.sweep_table import SweepTable
from ablations.tables import Table
from conventions.files import write_text
from conventions.rates import VIDEO_FPS
from datamodules.video import read_video
from emospace.report.runs import RunView, groups, read_runs
from experiments.reference_curves import reference_curves, thin

MIME = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4"}
POSTER_QUALITY = 80


@dataclass(frozen=True)
class Clip:
    """A video and its first frame, which the page shows until the video plays."""

    name: str
    source: str
    poster: str
    width: int
    height: int


def data_uri(path: Path) -> str:
    """A file's bytes as a data URI."""
    return _uri(MIME[path.suffix], path.read_bytes())


def read_clip(path: Path, name: str | None = None) -> Clip:
    """A video of the page; its name is the file's unless another is given."""
    first = Image.fromarray(read_video(path, max_frames=1)[0])
    poster = io.BytesIO()
    first.save(poster, format="JPEG", quality=POSTER_QUALITY)
    return Clip(name or path.stem, data_uri(path), _uri(MIME[".jpg"], poster.getvalue()), *first.size)


def _uri(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


HERE = Path(__file__).parent
SCRIPTS = ("page.js", "two.js")
MAX_PICTURES = 6
MAX_VIDEOS = 2
MAX_POINTS = 160
DIGITS = 5
"""Points of a curve, and significant digits of their values."""

Curve = Sequence[tuple[float, float]]


def points(history: Mapping[str, Curve]) -> dict[str, list[tuple[float, float]]]:
    """(step, value) by scalar, thinned, without what is not finite; scalars of which nothing is left are left out."""
    finite = {name: [point for point in curve if math.isfinite(point[1])] for name, curve in history.items()}
    return {name: thin(curve, MAX_POINTS, DIGITS) for name, curve in finite.items() if curve}


def references(runs: Sequence[RunView]) -> dict[str, dict[str, Any]]:
    """Stage -> name and curves of the reference run of the first experiment that has one for this stage."""
    found: dict[str, dict[str, Any]] = {}
    for experiment in dict.fromkeys(run.experiment for run in runs):
        stages = {run.stage for run in runs if run.experiment == experiment}
        for stage, run in reference_curves(experiment).items():
            if stage in stages and stage not in found:
                memory = f"{run.memory_bytes / 2**30:.1f} GiB"
                name = f"reference: {experiment}, seed {run.seed}, {run.seconds:.0f} s, {memory}"
                found[stage] = {"name": name, "curves": run.curves}
    return found


@dataclass(frozen=True)
class Gallery:
    """Samples of one run: videos, and images by name."""

    run: RunView
    clips: list[Clip]
    pictures: list[tuple[str, str]]


def galleries(runs: Sequence[RunView]) -> list[Gallery]:
    """The first samples of each run that has some."""
    return [
        Gallery(
            run,
            [read_clip(path) for path in run.videos[:MAX_VIDEOS]],
            [(path.stem, data_uri(path)) for path in run.pictures[:MAX_PICTURES]],
        )
        for run in runs
        if run.pictures or run.videos
    ]


def script_data(runs: Sequence[RunView], group: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, Any]:
    """What the page's script needs: labels, curves and config fields of each run, and reference curves."""
    facts = [
        {
            "id": run.name,
            "stage": run.stage,
            "group": group[run.name],
            "label": labels[run.name],
            "curves": points(run.history),
            "config": run.config,
        }
        for run in runs
    ]
    return {"fps": VIDEO_FPS, "runs": facts, "references": references(runs)}


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
    group = groups(runs)
    labels = {run.name: f"{group[run.name]} {run.seed}".strip() for run in runs}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("page.html").render(
        runs=runs,
        labels=labels,
        stages=list(dict.fromkeys(run.stage for run in runs)),
        variants=sorted({run.variant for run in runs}, key=lambda variant: (variant != "full", variant)),
        tables=[(title, Markup(table_html(text))) for title, text in _titled(tables, sweeps)],
        figures=[(path.stem, data_uri(path)) for path in figures],
        videos=[read_clip(path, caption) for caption, path in videos],
        galleries=galleries(runs),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup("\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)),
        data=Markup(json.dumps(script_data(runs, group, labels)).replace("<", "\\u003c")),
    )
    write_text(out, page)


def table_html(markdown: str) -> str:
    """HTML of one Markdown table with text before and after it."""
    lines = [line.strip() for line in markdown.strip().splitlines()]
    rows = [line for line in lines if line.startswith("|") and not set(line) <= set("|-: ")]
    notes = [line for line in lines if line and not line.startswith("|") and not line.startswith("**")]
    body = "".join(_row(line, "th" if index == 0 else "td") for index, line in enumerate(rows))
    return f"<table>{body}</table>" + "".join(f"<p>{_inline(note)}</p>" for note in notes)


def _row(line: str, tag: str) -> str:
    cells = line.strip("|").split("|")
    return "<tr>" + "".join(f"<{tag}>{_inline(cell.strip())}</{tag}>" for cell in cells) + "</tr>"


def _inline(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", str(escape(text)))
