"""A paper table's Markdown as HTML: rows of cells, bold, and the notes below."""

import re

from markupsafe import escape


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
