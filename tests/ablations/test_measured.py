"""Pages of measurements: their values are those of finished runs, and they equal the JSON files beside them."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from run_folders import BASE, finish

from ablations.measured import TITLES, measure
from ablations.results import COMMAND, PAGES, Measurement, page
from ablations.tables import ask
from conventions.errors import UserError
from experiments.stage import StageRun

SEEDS = (0, 1, 2)
SHIFT = {"eac_mlp": 0.05, "eac_gru": -0.05}
ERROR = {"full": 0.5, "eac_mlp": 0.75}


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.graph.store_hash", lambda path: "5" * 64)


def finish_table(name: str, runs: Path, *overrides: str) -> Mapping[str, Mapping[int, StageRun]]:
    planned = ask(name, "toy", SEEDS, overrides).planned()
    for variant, by_seed in planned.items():
        for run in by_seed.values():
            finish(run, runs, SHIFT.get(variant, 0.0))
    return planned


def by_title(found: list[Measurement]) -> dict[str, dict[str, list[str]]]:
    """Measurement -> variant -> cells."""
    return {one.title: {row[one.columns.index("variant")]: row for row in one.rows} for one in found}


def test_tables_and_stages_have_the_values_of_their_runs(tmp_path: Path) -> None:
    planned = finish_table("3", tmp_path)
    for variant, error in ERROR.items():
        for seed, run in planned[variant].items():
            eac = run.parents["eac"]
            folder = eac.folder(tmp_path)
            folder.write("metrics.json", {"hash": eac.hash, "metrics": {"coefficient_error": error + seed}})
            folder.set_status("done", hash=eac.hash)
    found = measure(tmp_path, "toy", SEEDS, "a machine", ["3"])
    assert {(one.date, one.commit, one.machine) for one in found} == {("2026-01-02", "abc", "a machine")}
    tables = by_title(found)
    rows, stage = tables["Table 3"], tables["EAC: ablations"]
    assert float(rows["full model"][2].split()[0]) == pytest.approx(BASE["EFD"], abs=0.01)
    assert float(rows["MLPs"][2].split()[0]) == pytest.approx(BASE["EFD"] + 0.05, abs=0.01)
    assert rows["full model"][3] == ""
    assert rows["MLPs"][3].startswith("**0.0")
    assert rows["GRUs"][3].endswith("(against)")
    assert (stage["full"][1], stage["MLPs"][1]) == ("1.5 (1)", "1.75 (1)")
    assert "GRUs" not in stage, "its stage is not finished"


@pytest.mark.parametrize(("name", "title"), TITLES.items())
def test_an_incomplete_table_is_not_measured(tmp_path: Path, name: str, title: str) -> None:
    with pytest.raises(UserError, match=f"runs of {title} are missing"):
        measure(tmp_path, "toy", SEEDS, "a machine", [name])


def test_each_table_asked_for_is_measured_by_itself(tmp_path: Path) -> None:
    finish_table("unseen", tmp_path)
    finish_table("engineering", tmp_path, "hef.steps=400")
    (unseen,) = measure(tmp_path, "toy", SEEDS, "a machine", ["unseen"])
    (switches,) = measure(tmp_path, "toy", SEEDS, "a machine", ["engineering"], ["hef.steps=400"])
    assert "engineering hef.steps=400 --preset toy --seeds 0 1 2" in switches.command
    assert {"full model", "GPT2", "One-hot"} <= set(by_title([unseen])["Unseen styles"])
    rows = by_title([switches])[TITLES["engineering"]]
    assert "projected motion" in rows
    assert not any("the preset" in title for title in rows), "the full model has one row"


def test_a_partial_table_names_what_is_not_measured(tmp_path: Path) -> None:
    seeds = (0, 1)
    planned = ask("engineering", "toy", seeds).planned()
    for run in (*planned["full"].values(), *planned["hef_parts"].values(), planned["hef_hinge"][0]):
        finish(run, tmp_path, 0.0)
    (table,) = measure(tmp_path, "toy", seeds, "a machine", ["engineering"], partial=True)
    assert {row[1] for row in table.rows if row[0] != "reference"} == {"full model", "mouth and eyes judged"}
    assert "hinge loss" in table.notes[-1], "one seed of two is not enough"
    assert "mouth and eyes judged" not in table.notes[-1]


def test_a_partial_table_needs_its_full_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="runs of Unseen styles are missing"):
        measure(tmp_path, "toy", (0,), "a machine", ["unseen"], partial=True)


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
