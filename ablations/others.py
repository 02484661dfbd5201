"""Values of other methods: scored folders as rows of a table, and what other papers print on MEAD (`published.yaml`).

Rows are marked where they were not scored as our runs were; printed values are shown apart from a table.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ablations.paper import OTHERS
from ablations.scored import Scored
from ablations.statistics import summarise
from ablations.tables import Row, Table
from conventions.errors import UserError, counted
from metrics.protocol import ROLES


def with_scored(table: Table, scored: Sequence[Scored]) -> Table:
    """The table with each method's values in its row, or in a new one where the paper has no row of its title.

    Networks are compared with those of our finished runs; where none is finished, with those of the first folder.
    """
    if not scored:
        return table
    protocol, networks, whose = table.protocol, table.networks, "our runs"
    if not networks:
        protocol, networks, whose = scored[0].protocol, scored[0].networks, scored[0].title
    rows = list(table.rows)
    for one in scored:
        index = next((i for i, row in enumerate(rows) if row.variant is None and row.title == one.title), None)
        if index is None:
            index = sum(row.group == OTHERS for row in rows)
            rows.insert(index, Row(OTHERS, one.title, None, {}, {}, 0))
        rows[index] = _filled(rows[index], one, table.paper.metrics, protocol, networks)
    return replace(table, rows=tuple(rows), compared_with=whose, protocol=protocol)


def _filled(row: Row, scored: Scored, metrics: Sequence[str], protocol: str, networks: Mapping[str, str]) -> Row:
    values = {metric: summarise([scored.values[metric]] if metric in scored.values else []) for metric in metrics}
    unlike = frozenset(m for m in metrics if values[m].n and _unlike(m, scored, protocol, networks))
    return replace(row, values=values, scored=scored, unlike=unlike)


def _unlike(metric: str, scored: Scored, protocol: str, networks: Mapping[str, str]) -> bool:
    role = ROLES.get(metric)
    return scored.protocol != protocol or (role is not None and scored.networks.get(role) != networks.get(role))


def scored_notes(table: Table) -> list[str]:
    """What other methods' values rest on, and which of them must not be compared with ours."""
    notes = []
    for row in table.rows:
        if (one := row.scored) is None:
            continue
        shared = f", {len(one.clips & table.clips)} of them among our runs' {len(table.clips)}" if table.clips else ""
        networks = _listed(one.networks) or "no networks"
        notes.append(f"{row.title}: {one.protocol}, {counted(len(one.clips), 'clip')}{shared}; {one.crop}; {networks}.")
        if marked := [metric for metric in table.paper.metrics if metric in row.unlike]:
            by = "other networks" if one.protocol == table.protocol else f"another protocol ({one.protocol})"
            theirs = f" ({_listed(table.networks)})" if table.networks else ""
            than = f"{by} than {table.compared_with}{theirs}"
            notes.append(f"‡ {row.title}: {', '.join(marked)} by {than}: not to be compared.")
    return notes


def _listed(networks: Mapping[str, str]) -> str:
    return ", ".join(f"{role}: {name}" for role, name in networks.items())


FILE = Path(__file__).parent / "published.yaml"


@dataclass(frozen=True)
class Source:
    """One paper's values."""

    name: str
    source: str
    protocol: str
    """Data and splits, as far as known."""
    metrics: Mapping[str, Mapping[str, Any]]
    """`definition` and `higher_is_better` by metric."""
    rows: Mapping[str, Mapping[str, Any]]
    """Values by method and metric."""


def read_published(path: Path = FILE) -> tuple[Source, ...]:
    """The sources of a file; UserError where a source lacks its definitions or has a value without one."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        sources = tuple(Source(**entry) for entry in content["sources"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{path}: contains no published values ({str(error).splitlines()[0]})") from error
    for source in sources:
        for method, values in source.rows.items():
            for metric, value in values.items():
                if metric not in source.metrics:
                    raise UserError(f"{path}: {source.name}: {method}: {metric} has no definition")
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise UserError(f"{path}: {source.name}: {method}: {metric}: expected a number, not {value!r}")
    return sources


def published_markdown(sources: tuple[Source, ...]) -> str:
    """A table for each source, with its protocol and definitions."""
    head = "**Printed in other papers: each by its own protocol, comparable neither with ours nor with each other**"
    return "\n".join([head, *(line for source in sources for line in _table(source))]) + "\n"


def _table(source: Source) -> Iterator[str]:
    metrics = list(source.metrics)
    yield ""
    yield f"| {source.name} | {' | '.join(metrics)} |"
    yield f"|{' --- |' * (len(metrics) + 1)}"
    for method, values in source.rows.items():
        cells = [f"{values[metric]:g}" if metric in values else "-" for metric in metrics]
        yield f"| {method} | {' | '.join(cells)} |"
    yield ""
    definitions = "; ".join(f"{metric}: {source.metrics[metric]['definition']}" for metric in metrics)
    yield f"Source: {source.source}. Protocol: {source.protocol}. {definitions}."


def published_json(sources: tuple[Source, ...]) -> list[dict[str, Any]]:
    """Plain data."""
    return [
        {"name": s.name, "source": s.source, "protocol": s.protocol, "metrics": dict(s.metrics), "rows": dict(s.rows)}
        for s in sources
    ]
