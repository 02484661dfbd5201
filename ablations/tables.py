"""Paper tables from run folders alone: every value with its seeds, its paper value and whether the direction holds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablations.paper import PaperRow, PaperTable, find_table
from ablations.registry import compose_variant
from ablations.scored import Scored, named_networks
from ablations.statistics import BySeed, Difference, Summary, paired_difference, reproduced, summarise
from conventions.errors import UserError
from experiments import legacy
from experiments.csvfiles import read_columns
from experiments.graph import plan
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
    """Seeds asked for; a summary's `n` says how many of them are there."""
    directions: tuple[Direction, ...] = ()
    refused: int = 0
    """Test clips whose style the variant could not express, all seeds together."""
    scored: Scored | None = None
    """Where the values of another method come from."""
    unlike: frozenset[str] = frozenset()
    """Metrics of another method that were scored by other networks or another protocol than our runs."""


@dataclass(frozen=True)
class Table:
    """A table ready to be written in any format."""

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

    def markdown(self) -> str:
        """GitHub Markdown."""
        from ablations import formats

        return formats.markdown(self)

    def latex(self) -> str:
        """A booktabs table that compiles by itself inside a document."""
        from ablations import formats

        return formats.latex(self)

    def csv(self) -> str:
        """One line for each row and metric."""
        from ablations import formats

        return formats.csv(self)

    def json(self) -> dict[str, Any]:
        """The document of `emospace table --json`."""
        from ablations import formats

        return formats.json_document(self)


@dataclass(frozen=True)
class _Found:
    """The finished runs of one variant, by seed, and the others with their states."""

    done: Mapping[int, RunFolder]
    documents: Mapping[int, Mapping[str, Any]]
    """metrics.json by seed."""
    missing: tuple[str, ...]
    clips: Mapping[str, BySeed]
    """Values by metric, seed and clip."""
    actors: Mapping[str, str]
    """Actor of each clip."""


def build_table(
    name: str, runs: Path, preset: str = "toy", seeds: Sequence[int] = (0,), overrides: Sequence[str] = ()
) -> Table:
    """The table `name` of the experiment `preset`, from whatever is finished below `runs`."""
    paper = find_table(name)
    planned = planned_runs(paper, preset, seeds, overrides)
    found = {variant: _find(by_seed, runs, paper.metrics) for variant, by_seed in planned.items()}
    rows = tuple(_row(row, paper, found, len(seeds)) for row in paper.rows)
    folders = [folder for one in found.values() for folder in one.done.values()]
    missing = tuple(line for one in found.values() for line in one.missing)
    documents = [document for one in found.values() for document in one.documents.values()]
    stand_ins = frozenset(metric for document in documents for metric in document.get("stand_ins", []))
    references = _references(paper, [run for by_seed in planned.values() for run in by_seed.values()], runs)
    clips = frozenset(clip for one in found.values() for clip in one.actors)
    protocol, networks = _protocol(documents), _networks(documents)
    footer = (f"protocol {protocol}", *_network_lines(networks), *_footer(folders))
    return Table(
        *(paper, preset, tuple(seeds), rows, references, stand_ins, missing, footer),
        protocol=protocol,
        networks=networks,
        clips=clips,
    )


def _protocol(documents: Sequence[Mapping[str, Any]]) -> str:
    """The protocol by which the runs were scored; UserError where it is not one."""
    names = sorted({str(document.get("protocol", PROTOCOL)) for document in documents})
    if len(names) > 1:
        raise UserError(f"the runs were scored by {' and '.join(names)}, whose values do not compare; run one again")
    return names[0] if names else PROTOCOL


def _network_lines(networks: Mapping[str, str]) -> tuple[str, ...]:
    """Networks with the digests of their files."""
    return (f"networks {', '.join(f'{role} {name}' for role, name in networks.items())}",) if networks else ()


def _networks(documents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The network in each role; all of them where the runs differ."""
    named = [named_networks(d.get("backbones", {}), d.get("networks_sha256", {})) for d in documents]
    roles = dict.fromkeys(role for names in named for role in names)
    return {role: " / ".join(sorted({names[role] for names in named if role in names})) for role in roles}


def planned_runs(
    paper: PaperTable, preset: str, seeds: Sequence[int], overrides: Sequence[str] = ()
) -> dict[str, dict[int, StageRun]]:
    """The evaluation run of each variant and seed; nothing is planned while the store is not there."""
    planned: dict[str, dict[int, StageRun]] = {variant: {} for variant in paper.variants}
    for seed in seeds:  # one seed's variants share stages, and so their planning
        for variant, by_seed in planned.items():
            if (run := _target(preset, variant, seed, overrides)) is not None:
                by_seed[seed] = run
    return planned


def table_jobs(
    name: str, preset: str = "toy", seeds: Sequence[int] = (0,), overrides: Sequence[str] = ()
) -> list[SweepJob]:
    """The runs of a table as launcher jobs, the full model first: the others share most of its stages."""
    words = [(f"variant={variant}", f"seed={seed}") for seed in seeds for variant in _full_first(find_table(name))]
    return [SweepJob((preset, *pair, *overrides)) for pair in words]


def missing_jobs(
    name: str, runs: Path, preset: str = "toy", seeds: Sequence[int] = (0,), overrides: Sequence[str] = ()
) -> list[SweepJob]:
    """Those of `table_jobs` that are not done."""
    planned = planned_runs(find_table(name), preset, seeds, overrides)
    done = {
        (f"variant={variant}", f"seed={seed}")
        for variant, by_seed in planned.items()
        for seed, run in by_seed.items()
        if run.folder(runs).state() == "done"
    }
    return [job for job in table_jobs(name, preset, seeds, overrides) if job.words[1:3] not in done]


def _full_first(paper: PaperTable) -> list[str]:
    return sorted(paper.variants, key=lambda variant: variant != paper.against)


def _target(preset: str, variant: str, seed: int, overrides: Sequence[str]) -> StageRun | None:
    experiment = compose_variant(preset, variant, seed, overrides)
    try:
        return plan(experiment)[-1]
    except UserError:  # no store, or no weights: nothing can be finished
        return None


def _find(by_seed: Mapping[int, StageRun], runs: Path, metrics: Sequence[str]) -> _Found:
    folders = {seed: _folder(run, runs) for seed, run in by_seed.items()}
    found = {seed: folder.inspect() for seed, folder in folders.items()}
    done = {seed: folder for seed, folder in folders.items() if found[seed].state == "done"}
    missing = tuple(f"{folders[seed].id}: {one.state}" for seed, one in found.items() if seed not in done)
    read = {seed: clip_values(folder, metrics) for seed, folder in done.items()}
    clips = {metric: {seed: values[metric] for seed, (_, values) in read.items()} for metric in metrics}
    actors = {clip: actor for people, _ in read.values() for clip, actor in people.items()}
    return _Found(done, {seed: found[seed].metrics for seed in done}, missing, clips, actors)


def _folder(run: StageRun, runs: Path) -> RunFolder:
    """The run's folder, or, where it is not done, a finished one of the first identity with the same labels."""
    folder = run.folder(runs)
    if folder.state() == "done":
        return folder
    return legacy.find(runs, run.config.name, run.stage, run.variant, run.seed) or folder


def clip_values(folder: RunFolder, metrics: Sequence[str]) -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    """Actor of each clip, and metric -> clip -> value, from a run's per_clip.csv; NaN where a cell is empty."""
    clips, actors, *columns = read_columns(folder.path / "per_clip.csv", ["id", "actor", *metrics])
    values = [[float(cell or "nan") for cell in column] for column in columns]
    by_metric = {m: dict(zip(clips, column, strict=True)) for m, column in zip(metrics, values, strict=True)}
    return dict(zip(clips, actors, strict=True)), by_metric


def _row(row: PaperRow, paper: PaperTable, found: Mapping[str, _Found], wanted: int) -> Row:
    if row.variant is None:
        return Row(row.group, row.title, None, row.paper, {}, 0)
    mine = found[row.variant]
    documents = mine.documents.values()
    values = {m: summarise([d["metrics"].get(m, math.nan) for d in documents]) for m in paper.metrics}
    refused = sum(len(document.get("refused", [])) for document in documents)
    directions = _directions(row, paper, mine, found[paper.against])
    return Row(row.group, row.title, row.variant, row.paper, values, wanted, directions, refused)


def _directions(row: PaperRow, paper: PaperTable, mine: _Found, reference: _Found) -> tuple[Direction, ...]:
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


def _references(paper: PaperTable, targets: Sequence[StageRun], runs: Path) -> tuple[Row, ...]:
    """The true clips, the copied and the warped portrait, as the `references` stage scored them."""
    folders = {run.parents["references"].id: run.parents["references"].folder(runs) for run in targets}
    done = [one.metrics["metrics"] for one in (folder.inspect() for folder in folders.values()) if one.state == "done"]
    if not done:
        return ()
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
    commits = sorted({_commit(fact.get("git", {})) for fact in facts})
    packages = sorted({f"{name} {v}" for fact in facts for name, v in fact.get("packages", {}).items()})
    stores = sorted({str(fact.get("store", {}).get("hash", "?"))[:12] for fact in facts})
    runs = sorted(folder.digest for folder in folders)
    return (
        f"git {', '.join(commits) or '-'}",
        f"store {', '.join(stores) or '-'}",
        f"packages {', '.join(packages) or '-'}",
        f"runs {', '.join(runs) or '-'}",
    )


def _commit(git: Mapping[str, Any]) -> str:
    return f"{str(git.get('commit', '?'))[:12]}{'+changes' if git.get('dirty') else ''}"
