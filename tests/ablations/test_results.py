"""Pages of measurements equal what the JSON files beside them give; an incomplete measurement is an error."""

import json
from datetime import date
from pathlib import Path

import pytest

from ablations.results import COMMAND, PAGES, Measurement, page

ONE = {"title": "T", "command": "emospace table 3", "date": "2026-11-23", "commit": "abc", "machine": "M"}
TABLE = {"columns": ["", "EFD"], "rows": [["full", "0.1"]]}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_page_equals_the_measurements(path: Path) -> None:
    assert path.read_text() == page(path), f"docs/{path.name} is out of date: {COMMAND}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_measurement_has_a_date_and_a_command(path: Path) -> None:
    for one in json.loads(path.with_suffix(".json").read_text())["measured"]:
        assert date.fromisoformat(one["date"])
        assert one["command"].startswith(("emospace ", "python -m benchmarks.", "python -m studies."))


def test_a_measurement_is_a_table_with_its_origin(tmp_path: Path) -> None:
    content = {"title": "Times", "about": ["Two sentences."], "measured": [ONE | TABLE | {"notes": ["a note"]}]}
    (tmp_path / "times.json").write_text(json.dumps(content))
    text = page(tmp_path / "times.md")
    assert text.startswith("# Times\n\nWritten by `python -m ablations.results` from `times.json` beside this page")
    assert (
        "2026-11-23, commit abc, M: `emospace table 3`\n\n|  | EFD |\n| --- | --- |\n| full | 0.1 |\n\n- a note" in text
    )


def test_an_incomplete_measurement_is_an_error() -> None:
    with pytest.raises(TypeError, match="command"):
        Measurement(**{key: value for key, value in (ONE | TABLE).items() if key != "command"})
    with pytest.raises(ValueError, match=r"T: \['full'\] has not the 2 cells"):
        Measurement(**ONE, columns=["", "EFD"], rows=[["full"]])
