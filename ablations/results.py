"""Pages of measurements from the JSON files beside them: `python -m ablations.results` writes a table for each.

A file has a title, paragraphs about it, measurements, and perhaps figures. A measurement has a title, the command that
gives its values, date, commit and machine of its runs, columns and rows; it may have notes and a figure.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from conventions.files import write_text

DOCS = Path(__file__).parents[1] / "docs"
PAGES = tuple(DOCS / f"{name}.md" for name in ("results", "performance", "sanity"))
"""Each is written from the file of the same name with the suffix .json."""
COMMAND = "python -m ablations.results"


@dataclass(frozen=True)
class Measurement:
    """One table of the page; cells are text as it is shown."""

    title: str
    command: str
    date: str
    """Year-month-day."""
    commit: str
    machine: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    figure: str = ""
    """An image's path, relative to the page."""

    def __post_init__(self) -> None:
        if uneven := [row for row in self.rows if len(row) != len(self.columns)]:
            raise ValueError(f"{self.title}: {uneven[0]} has not the {len(self.columns)} cells of the header")

    def markdown(self) -> str:
        """The section of the page."""
        head = [self.columns, ["---"] * len(self.columns), *self.rows]
        table = "\n".join(f"| {' | '.join(row)} |" for row in head)
        origin = f"{self.date}, commit {self.commit}, {self.machine}: `{self.command}`"
        figure = [f"![{self.title}]({self.figure})"] if self.figure else []
        notes = ["\n".join(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n\n".join([f"## {self.title}", origin, table, *notes, *figure])


def page(path: Path) -> str:
    """The text of a page; TypeError or ValueError where a measurement is not complete."""
    source = path.with_suffix(".json")
    content = json.loads(source.read_text(encoding="utf-8"))
    tables = [Measurement(**one).markdown() for one in content["measured"]]
    figures = [f"![{caption.replace('`', '')}]({file})\n\n*{caption}*" for file, caption in content.get("figures", ())]
    more = ["## Further figures", *figures] if figures else []
    origin = f"Written by `{COMMAND}` from `{source.name}` beside this page; a test fails where the two differ."
    return "\n\n".join([f"# {content['title']}", origin, *content["about"], *tables, *more]) + "\n"


if __name__ == "__main__":
    for each in PAGES:
        write_text(each, page(each))
