"""A W&B workspace and a W&B report made by program: panels by variant for each stage, names from run folders.

Both need the optional package wandb-workspaces; nothing else in the project does.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conventions.errors import MissingPackage, UserError
from experiments.graph import STAGES
from experiments.published import samples_of
from experiments.rundir import RunFolder, list_runs, read_history

NAME = "emospace by variant"
WIDTH = 24
"""Columns of a report's grid of panels."""
MAX_CLIPS = 6
"""Clips of which a report shows the samples."""
NOTE = (
    "Bars and curves are means over seeds of the runs in this project; their range goes from the lowest seed to the "
    "highest. The tables come from run folders, and compare clip by clip."
)
Names = Mapping[str, Sequence[str]]
"""Stage -> the names of its scalars in W&B."""


def logged_names(runs: Path) -> Names:
    """What the finished runs below `runs` have logged: curves by their own names, metrics as `test/NAME`."""
    found: dict[str, dict[str, None]] = {}
    for run in list_runs(runs):
        folder = RunFolder(runs / run.id)
        if run.state == "done":
            names = found.setdefault(folder.status["stage"], {})
            curves = (read_history(folder.history) or [{}])[-1]
            names |= dict.fromkeys(name for name in curves if "/" in name)
            names |= dict.fromkeys(f"test/{name}" for name in folder.read("metrics.json")["metrics"])
    if not found:
        raise UserError(f"{runs}: contains no finished run; `emospace run toy` makes one")
    return {stage: tuple(found[stage]) for stage in reversed(list(STAGES)) if stage in found}


def logged_clips(runs: Path) -> list[str]:
    """Names in W&B of the sample videos of the finished runs, those of most runs first."""
    count: dict[str, int] = {}
    for run in list_runs(runs):
        if run.state == "done":
            for name in samples_of(RunFolder(runs / run.id))[0]:
                count[name] = count.get(name, 0) + 1
    return sorted(count, key=lambda name: -count[name])[:MAX_CLIPS]


def build(names: Names, entity: str, project: str) -> Any:
    """The workspace, not yet saved: evaluation first, metrics as bars by variant, curves over batches."""
    panels, workspaces = _library("emospace wandb workspace")
    sections = [
        workspaces.Section(
            name=stage, panels=[_panel(panels, name) for name in names[stage]], is_open=stage == "evaluate"
        )
        for stage in names
    ]
    return workspaces.Workspace(
        name=NAME,
        entity=entity,
        project=project,
        sections=sections,
        settings=workspaces.WorkspaceSettings(x_axis="batch", max_runs=100),
        runset_settings=workspaces.RunsetSettings(groupby=[workspaces.Config("stage"), workspaces.Config("variant")]),
        auto_generate_panels=True,
    )


def build_report(names: Names, clips: Sequence[str], tables: Mapping[str, str], entity: str, project: str) -> Any:
    """The report, not yet saved: tables (Markdown by title), samples side by side, bars and curves of each stage."""
    blocks, _ = _library("emospace wandb report")
    parts = [blocks.MarkdownBlock(NOTE), blocks.TableOfContents(), blocks.H2("Tables")]
    for title, text in tables.items():
        parts += [blocks.H3(title), blocks.MarkdownBlock(text)]
    if clips:
        parts += [blocks.H2("Samples"), _grid(blocks, "evaluate", [_samples(blocks, clip) for clip in clips])]
    for stage in names:
        parts += [blocks.H2(stage), _grid(blocks, stage, [_panel(blocks, name) for name in names[stage]])]
    return blocks.Report(project=project, entity=entity, title=NAME, description=NOTE, blocks=parts, width="fluid")


def _grid(panels: Any, stage: str, shown: Sequence[Any]) -> Any:
    """Panels over the runs of one stage."""
    runset = panels.Runset(name=stage, filters=f"Metric('JobType') = '{stage}'")
    return panels.PanelGrid(runsets=[runset], panels=list(shown))


def _panel(panels: Any, name: str) -> Any:
    """A metric as bars, a curve as lines: means by variant with their range over seeds."""
    by_variant: dict[str, Any] = {
        "groupby": panels.Config("variant"),
        "groupby_aggfunc": "mean",
        "groupby_rangefunc": "minmax",
    }
    if name.startswith("test/"):
        return panels.BarPlot(title=name, metrics=[name], **by_variant)
    return panels.LinePlot(title=name, x="batch", y=[name], **by_variant)


def _samples(panels: Any, clip: str) -> Any:
    """One clip as the runs show it, a column a run."""
    layout = panels.Layout(w=WIDTH, h=8)
    return panels.MediaBrowser(title=clip, media_keys=[clip], mode="grid", grid_x_axis="run", layout=layout)


def _library(command: str) -> tuple[Any, Any]:
    """The modules of reports (their blocks and panels) and of workspaces."""
    try:
        import wandb_workspaces.reports.v2 as reports
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise MissingPackage("wandb-workspaces", "workspace", command) from error
    return reports, workspaces
