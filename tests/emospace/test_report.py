"""The static page: curves, tables and run folders as one file."""

import json
from pathlib import Path

from emospace.report.curves import chart, thin
from emospace.report.page import write_report
from emospace.report.runs import flatten
from emospace.report.tables import table_html


def make_run(runs: Path, name: str, steps: int) -> None:
    folder = runs / name
    folder.mkdir(parents=True)
    digest = name.rsplit(".", 1)[-1]
    (folder / "status.json").write_text(json.dumps({"state": "done", "hash": digest, "heartbeat": 0}))
    (folder / "metrics.json").write_text(json.dumps({"hash": digest, "required": ["EFD"], "metrics": {"EFD": 0.25}}))
    (folder / "config.yaml").write_text(f"eac:\n  steps: {steps}\n")
    rows = [json.dumps({"step": step, "train/loss": 1 / step}) for step in range(1, 4)]
    (folder / "history.jsonl").write_text("\n".join(rows) + '\n{"step": 4, "train/l')


def test_page_is_one_file_with_every_run(tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "page.html"
    make_run(runs, "toy-eac.full.s0.aaaaaaaa", 100)
    make_run(runs, "toy-eac.eac_mlp.s0.bbbbbbbb", 200)
    write_report(out, runs, [])
    page = out.read_text()
    assert "toy-eac.full.s0.aaaaaaaa" in page
    assert "toy-eac.eac_mlp.s0.bbbbbbbb" in page
    assert page.count("<polyline") == 2
    assert "train/loss" in page
    assert '"eac.steps": "100"' in page
    assert "http://" not in page
    assert "https://" not in page


def test_thin_keeps_range_and_last_step() -> None:
    curve = [(float(step), 1.0) for step in range(1000)]
    thinned = thin(curve, most=50)
    assert len(thinned) <= 50
    assert thinned[-1] == (999.0, 1.0)


def test_chart_leaves_out_what_is_not_finite() -> None:
    assert chart("loss", {"a": [(0.0, float("nan"))]}, {"a": 0}) == ""
    drawn = chart("<loss>", {"a": [(0.0, 1.0), (1.0, float("inf")), (2.0, 3.0)]}, {"a": 0})
    assert "&lt;loss&gt;" in drawn
    assert drawn.count(",") == len("ab") + 1  # two points, and the axis' own comma


def test_table_html_escapes_and_emboldens() -> None:
    shown = table_html("**Table**\n\n| a | b |\n| --- | --- |\n| <i> | **1** |\n\nnote")
    assert shown == (
        "<table><tr><th>a</th><th>b</th></tr><tr><td>&lt;i&gt;</td><td><b>1</b></td></tr></table><p>note</p>"
    )


def test_flatten() -> None:
    assert flatten({"a": {"b": 1}, "c": [1, "x"]}) == {"a.b": "1", "c": '[1, "x"]'}
