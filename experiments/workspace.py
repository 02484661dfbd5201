"""A W&B workspace made by program: runs grouped by variant, a section of panels for each stage, names from run folders.

Needs the optional package wandb-workspaces; nothing else in the project does.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conventions.errors import MissingPackage, UserError
from experiments.graph import STAGES
from experiments.rundir import RunFolder, list_runs, read_history

NAME = "emospace by variant"
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


def build(names: Names, entity: str, project: str) -> Any:
    """The workspace, not yet saved: evaluation first, metrics as bars by variant, curves over batches."""
    try:
        import wandb_workspaces.reports.v2 as panels
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise MissingPackage("wandb-workspaces", "workspace", "emospace wandb workspace") from error
    variant = panels.Config("variant")

    def panel(name: str) -> Any:
        if name.startswith("test/"):
            return panels.BarPlot(title=name, metrics=[name], groupby=variant, groupby_aggfunc="mean")
        spread: dict[str, Any] = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
        return panels.LinePlot(title=name, x="batch", y=[name], groupby=variant, **spread)

    sections = [
        workspaces.Section(name=stage, panels=[panel(name) for name in names[stage]], is_open=stage == "evaluate")
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
