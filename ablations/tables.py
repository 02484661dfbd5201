"""Paper tables from run folders alone: every value with its seeds, its paper value and whether the direction holds."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablations.found import Found, Planned, find_old_runs, find_runs, plan_runs
from ablations.paper import PaperRow, PaperTable, find_table
from ablations.scored import Scored, named_networks
from ablations.statistics import Difference, Summary, paired_difference, reproduced, summarise
from conventions.errors import UserError
from experiments.readback import is_first_identity
from experiments.rundir import RunFolder
from experiments.stage import StageRun
from experiments.sweep import SweepJob
from metrics.protocol import PROTOCOL


@dataclass(frozen=True)
class Direction:
    """A metric's difference to the reference variant, and whether it goes the paper's way."""

    metric: str
    against: str
    difference: Difference | None
    reproduced: bool | None


@dataclass(frozen=True)
class Row:
    """One row with its values by metric."""

    group: str
    title: str
    variant: str | None
    paper: Mapping[str, float]
    values: Mapping[str, Summary]
    wanted: int
    """Seeds asked for; a summary's `n` is how many of them are there."""
    directions: tuple[Direction, ...] = ()
    refused: int = 0
    """Test clips whose style the variant could not express, all seeds together."""
    scored: Scored | None = None
    """Where the values of another method come from."""
    unlike: frozenset[str] = frozenset()
    """Metrics of another method that were scored by other networks or another protocol than our runs."""


@dataclass(frozen=True)
class Table:
    """A table, which `ablations.formats` writes as Markdown, LaTeX, CSV or JSON."""

    paper: PaperTable
    preset: str
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    references: tuple[Row, ...]
    stand_ins: frozenset[str]
    """Metrics that rest on substitute networks."""
    missing: tuple[str, ...]
    """Runs that are not done, with their states."""
    footer: tuple[str, ...]
    protocol: str = PROTOCOL
    networks: Mapping[str, str] = field(default_factory=dict)
    """Network in each role of the finished runs; empty while none is finished."""
    clips: frozenset[str] = frozenset()
    """Test clips of the finished runs."""
    compared_with: str = ""
    """Whose networks other methods' are compared with."""
    first_identity: tuple[str, ...] = ()
    """Ids of shown runs that are of the first identity."""


def build_table(
    name: str, runs: Path, preset: str | None = None, seeds: Sequence[int] | None = None, overrides: Sequence[str] = ()
) -> Table:
    """Fill a table with the finished runs of a folder.

    Where no planned run is done, runs of the first identity fill the table instead: the two were not scored alike and
    are never mixed.

    Args:
        name: a table of the paper, or a YAML file of your own.
        runs: folder of the run folders.
        preset: experiment of the runs; None: the table's own.
        seeds: seeds to average over; None: the table's own.
        overrides: config words of the runs, such as `eac.steps=200`.

    Returns:
        Rows with means, deviations and differences, and the runs that are missing.

    Raises:
        UserError: the table, the experiment or a word is not valid.
    """
    asked = ask(name, preset, seeds, overrides)
    return fill_table(asked, asked.planned(), runs)


def fill_table(asked: "Asked", planned: Planned, runs: Path) -> Table:
    """`build_table` of a table whose runs are planned already."""
    paper, metrics = asked.table, asked.table.metrics
    found = find_runs(planned, runs, metrics)
    evaluated = [run for by_seed in planned.values() for run in by_seed.values()]
    references = {run.parents["references"].folder(runs) for run in evaluated if "references" in run.parents}
    if not any(one.done for one in found.values()):
        old = find_old_runs(paper.variants, asked.preset, asked.seeds, asked.overrides, runs, metrics)
        if any(one.done for one in old.values()):
            found, references = old, {folder for one in old.values() for folder in _old_references(one)}
    rows = tuple(_row(row, paper, found, len(asked.seeds)) for row in paper.rows)
    folders = [folder for one in found.values() for folder in one.done.values()]
    missing = tuple(line for one in found.values() for line in one.missing)
    documents = [document for one in found.values() for document in one.documents.values()]
    protocol, networks = _protocol(documents), _networks(documents)
    used = ", ".join(f"{role} {name}" for role, name in networks.items())
    return Table(
        *(paper, asked.preset, asked.seeds, rows, _references(paper, references)),
        stand_ins=frozenset(metric for document in documents for metric in document.get("stand_ins", [])),
        missing=missing,
        footer=(f"protocol {protocol}", *([f"networks {used}"] if used else []), *_footer(folders)),
        protocol=protocol,
        networks=networks,
        clips=frozenset(clip for one in found.values() for clip in one.actors),
        first_identity=tuple(sorted(folder.id for folder in folders if is_first_identity(folder.id))),
    )


def _old_references(found: Found) -> list[RunFolder]:
    parents = [(folder, folder.read("provenance.json").get("parents", {})) for folder in found.done.values()]
    return [RunFolder(folder.path.parent / named["references"]) for folder, named in parents if "references" in named]


@dataclass(frozen=True)
class Asked:
    """A table of an experiment on some seeds, with `key=value` words for every run."""

    table: PaperTable
    preset: str
    seeds: tuple[int, ...]
    overrides: tuple[str, ...]

    def planned(self) -> dict[str, dict[int, StageRun]]:
        """The evaluation run of each variant and seed."""
        return plan_runs(self.table.variants, self.preset, self.seeds, self.overrides)

    def jobs(self) -> list[SweepJob]:
        """Its runs as launcher jobs, the reference variant first: the others share most of its stages."""
        variants = sorted(self.table.variants, key=lambda variant: variant != self.table.against)
        words = [(f"variant={variant}", f"seed={seed}") for seed in self.seeds for variant in variants]
        return [SweepJob((self.preset, *pair, *self.overrides)) for pair in words]

    def missing(self, runs: Path) -> list[SweepJob]:
        """Those of `jobs` that are not done."""
        done = {
            (f"variant={variant}", f"seed={seed}")
            for variant, by_seed in self.planned().items()
            for seed, run in by_seed.items()
            if run.folder(runs).state() == "done"
        }
        return [job for job in self.jobs() if job.words[1:3] not in done]


def ask(
    name: str, preset: str | None = None, seeds: Sequence[int] | None = None, overrides: Sequence[str] = ()
) -> Asked:
    """A table by name or YAML file; its own experiment and seeds unless others are given."""
    table = find_table(name)
    return Asked(table, preset or table.preset, tuple(table.seeds if seeds is None else seeds), tuple(overrides))


def _protocol(documents: Sequence[Mapping[str, Any]]) -> str:
    """The protocol by which the runs were scored; UserError where it is not one."""
    names = sorted({str(document.get("protocol", PROTOCOL)) for document in documents})
    if len(names) > 1:
        raise UserError(
            f"the runs were scored by {' and '.join(names)}, which are not comparable; evaluate some of them again"
        )
    return names[0] if names else PROTOCOL


def _networks(documents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The network in each role; all of them where the runs differ."""
    named = [named_networks(d.get("backbones", {}), d.get("networks_sha256", {})) for d in documents]
    roles = dict.fromkeys(role for names in named for role in names)
    return {role: " / ".join(sorted({names[role] for names in named if role in names})) for role in roles}


def _row(row: PaperRow, paper: PaperTable, found: Mapping[str, Found], wanted: int) -> Row:
    if row.variant is None:
        return Row(row.group, row.title, None, row.paper, {}, 0)
    mine = found[row.variant]
    documents = mine.documents.values()
    values = {m: summarise([d["metrics"].get(m, math.nan) for d in documents]) for m in paper.metrics}
    refused = sum(len(document.get("refused", [])) for document in documents)
    directions = _directions(row, paper, mine, found[paper.against])
    return Row(row.group, row.title, row.variant, row.paper, values, wanted, directions, refused)


def _directions(row: PaperRow, paper: PaperTable, mine: Found, reference: Found) -> tuple[Direction, ...]:
    if row.variant == paper.against:
        return ()
    full = next(other for other in paper.rows if other.variant == paper.against)
    result = []
    for metric in paper.metrics:
        difference = paired_difference(mine.clips[metric], reference.clips[metric], mine.actors)
        known = metric in row.paper and metric in full.paper
        agrees = reproduced(difference, row.paper[metric] - full.paper[metric]) if known else None
        result.append(Direction(metric, paper.against, difference, agrees))
    return tuple(result)


REFERENCE_TITLES = {
    "ground_truth": "ground truth",
    "copy_source": "copy source",
    "warp_source": "3DMM warp of the source",
}


def _references(paper: PaperTable, folders: Collection[RunFolder]) -> tuple[Row, ...]:
    """The true clips, the copied and the warped portrait, as the `references` stage scored them."""
    inspected = [folder.inspect() for folder in sorted(folders, key=lambda folder: folder.id)]
    done = [one.metrics["metrics"] for one in inspected if one.state == "done"]
    return tuple(
        Row(
            "reference",
            title,
            None,
            {},
            {m: summarise([d.get(f"{key}/{m}", math.nan) for d in done]) for m in paper.metrics},
            0,
        )
        for key, title in REFERENCE_TITLES.items()
        if any(name.startswith(f"{key}/") for d in done for name in d)
    )


def _footer(folders: Sequence[RunFolder]) -> tuple[str, ...]:
    """Code, packages and data of the runs; several where the runs differ."""
    facts = [folder.read("provenance.json") for folder in folders]
    code = [fact.get("git", {}) for fact in facts]
    commits = sorted({f"{str(git.get('commit', '?'))[:12]}{'+changes' if git.get('dirty') else ''}" for git in code})
    packages = sorted({f"{name} {v}" for fact in facts for name, v in fact.get("packages", {}).items()})
    stores = sorted({str(fact.get("store", {}).get("hash", "?"))[:12] for fact in facts})
    runs = sorted(folder.digest for folder in folders)
    return (
        f"git {', '.join(commits) or '-'}",
        f"store {', '.join(stores) or '-'}",
        f"packages {', '.join(packages) or '-'}",
        f"runs {', '.join(runs) or '-'}",
    )
