"""docs/results.md equals what docs/results.json gives; an incomplete measurement is an error."""

import json
from datetime import date

import pytest

from ablations.results import COMMAND, DATA, PAGE, Measurement, page

ONE = {"title": "T", "command": "emospace table 3", "date": "2026-11-23", "commit": "abc", "machine": "M"}
TABLE = {"columns": ["", "EFD"], "rows": [["full", "0.1"]]}


def test_the_page_equals_the_measurements() -> None:
    assert PAGE.read_text() == page(DATA.read_text()), f"docs/results.md is out of date: {COMMAND}"


def test_every_measurement_has_a_date_and_a_command() -> None:
    for one in json.loads(DATA.read_text())["measured"]:
        assert date.fromisoformat(one["date"])
        assert one["command"].startswith(("emospace ", "python -m benchmarks."))


def test_a_measurement_is_a_table_with_its_origin() -> None:
    text = page(json.dumps({"about": ["Two sentences."], "measured": [ONE | TABLE | {"notes": ["a note"]}]}))
    assert (
        "2026-11-23, commit abc, M: `emospace table 3`\n\n|  | EFD |\n| --- | --- |\n| full | 0.1 |\n\n- a note" in text
    )


def test_an_incomplete_measurement_is_an_error() -> None:
    with pytest.raises(TypeError, match="command"):
        Measurement(**{key: value for key, value in (ONE | TABLE).items() if key != "command"})
    with pytest.raises(ValueError, match=r"T: \['full'\] has not the 2 cells"):
        Measurement(**ONE, columns=["", "EFD"], rows=[["full"]])
