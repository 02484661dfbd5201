"""Sweeps that have run, whole or in part: which names are sweeps, and their tables."""

from pathlib import Path

from ablations.paper import TABLES
from ablations.sweep_table import SweepTable, folder_found, sweep_table
from ablations.table_files import FILES, is_table
from ablations.variants import YAML
from emospace.points import read_points
from experiments.compose import load_yaml
from experiments.rundir import RunFolder
from experiments.sweep import Sweep, expand_sweep, sweep_names


def is_sweep(name: str) -> bool:
    """Whether a name or a YAML file is a sweep; a name of both is the table."""
    if name.endswith(YAML):
        return not is_table(load_yaml(Path(name)))
    return name not in (*TABLES, *FILES) and name in sweep_names()


def table_of_sweep(name: str, runs: Path) -> SweepTable:
    """The table of a sweep from whatever is there below `runs`."""
    sweep = expand_sweep(name)
    return sweep_table(sweep, [folder_found(folder) for folder in sweep_folders(sweep, runs)])


def sweep_folders(sweep: Sweep, runs: Path) -> list[RunFolder | None]:
    """The run folder of each point; None while a store or a file that identifies it is not there."""
    return [point.folder() for point in read_points(sweep, runs).values()]
