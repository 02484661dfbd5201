"""Values that other papers print on MEAD (`published.yaml`): shown apart from a table, never among its rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from conventions.errors import UserError

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
