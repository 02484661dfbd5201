"""The static page: curves, tables and run folders as one file."""

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from run_folders import make_run, write_clip

from emospace.cli import main
from emospace.report.page import points, table_html, write_report
from emospace.report.runs import flatten, groups, read_runs


def data_of(page: str) -> dict[str, Any]:
    """What the page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found is not None
    return json.loads(found[1])


def test_page_is_one_file_with_every_run(tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "page.html"
    make_run(runs, "toy-eac.full.s0.aaaaaaaa", 100)
    make_run(runs, "toy-eac.eac_mlp.s0.bbbbbbbb", 200)
    write_report(out, runs, [])
    page = out.read_text()
    facts = {run["id"]: run for run in data_of(page)["runs"]}
    assert set(facts) == {"toy-eac.full.s0.aaaaaaaa", "toy-eac.eac_mlp.s0.bbbbbbbb"}
    assert facts["toy-eac.full.s0.aaaaaaaa"]["curves"] == {"train/loss": [[1, 1], [2, 0.5], [3, 0.33333]]}
    assert facts["toy-eac.full.s0.aaaaaaaa"]["config"]["eac.steps"] == "100"
    assert "http://" not in page
    assert "https://" not in page


def test_reference_curves_are_those_of_the_experiment_and_its_stages(tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "page.html"
    make_run(runs, "eac.s0.aaaaaaaa", 1, experiment="toy")
    make_run(runs, "hef.s0.bbbbbbbb", 1, experiment="mine")
    write_report(out, runs, [])
    found = data_of(out.read_text())["references"]
    assert set(found) == {"eac"}, "no reference for the experiment 'mine'"
    assert found["eac"]["name"].startswith("reference: toy, seed 0, ")
    assert found["eac"]["curves"]["train/loss"][-1][0] == 1000


def test_points_leave_out_what_is_not_finite() -> None:
    history = {"a": [(0.0, float("nan"))], "b": [(0.0, 1.0), (1.0, float("inf")), (2.0, 1 / 3)]}
    assert points(history) == {"b": [(0.0, 1.0), (2.0, 0.33333)]}


def test_seeds_of_a_variant_are_one_group_and_other_fields_another(tmp_path: Path) -> None:
    common, other = {"world.preset": "tiny"}, {"world.preset": "tiny", "eac.steps": "3"}
    make_run(tmp_path, "eac.s0.aaaaaaaa", 1, variant="full", seed=0, fields=common)
    make_run(tmp_path, "eac.s1.bbbbbbbb", 1, variant="full", seed=1, fields=common)
    make_run(tmp_path, "eac.s0.cccccccc", 1, variant="full", seed=0, fields=other)
    make_run(tmp_path, "toy-eac.eac_mlp.s2.dddddddd", 1)
    runs = [run for run in read_runs(tmp_path) if run.fields]
    assert groups(runs) == {
        "eac.s0.aaaaaaaa": "eac full",
        "eac.s1.bbbbbbbb": "eac full",
        "eac.s0.cccccccc": "eac full eac.steps=3",
    }
    assert [(run.variant, run.seed) for run in read_runs(tmp_path)][-1] == ("eac_mlp", "s2")


def test_a_video_shows_its_first_frame_before_it_plays(tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "page.html"
    make_run(runs, "evaluate.s0.aaaaaaaa", 1)
    write_clip(runs / "evaluate.s0.aaaaaaaa" / "samples" / "clip.mp4", red=True)
    write_report(out, runs, [])
    found = re.search(r'<video [^>]*poster="data:image/jpeg;base64,([^"]+)" src="data:video/mp4', out.read_text())
    assert found is not None
    first = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGB"), dtype=int)
    assert first.shape == (32, 64, 3)
    assert (first[..., 0] > 200).all()


def test_table_html_escapes_and_emboldens() -> None:
    shown = table_html("**Table**\n\n| a | b |\n| --- | --- |\n| <i> | **1** |\n\nnote")
    assert shown == (
        "<table><tr><th>a</th><th>b</th></tr><tr><td>&lt;i&gt;</td><td><b>1</b></td></tr></table><p>note</p>"
    )


def test_flatten() -> None:
    assert flatten({"a": {"b": 1}, "c": [1, "x"]}) == {"a.b": "1", "c": '[1, "x"]'}


PICTURE = (Path(__file__).parent.parent.parent / "docs/pictures/figure8.png").resolve()
CHOOSE = """<script>
first.value = "toy-eac.full.s0.aaaaaaaa"; second.value = "toy-hef.full.s0.cccccccc";
second.dispatchEvent(new Event("change"));
</script>"""


@pytest.fixture
def browser(tmp_path: Path) -> Callable[..., str]:
    """A headless browser without network: opens a file with further options, gives what it prints."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no headless browser here")

    def show(page: Path, *options: str) -> str:
        fixed = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        offline = ["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr"]
        done = subprocess.run(
            [program, *fixed, *offline, *options, page.as_uri()],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert "CONSOLE" not in done.stderr, "no script fails and nothing is asked of a network"
        return done.stdout

    return show


@pytest.fixture
def page(tmp_path: Path) -> Path:
    runs, out = tmp_path / "runs", tmp_path / "page.html"
    for name, steps in (
        ("toy-eac.full.s0.aaaaaaaa", 1),
        ("toy-eac.eac_mlp.s0.bbbbbbbb", 2),
        ("toy-hef.full.s0.cccccccc", 3),
    ):
        make_run(runs, name, steps)
    write_report(out, runs, [], figures=[PICTURE])
    return out


@pytest.mark.slow
def test_a_browser_shows_the_difference_of_any_two_runs(page: Path, browser: Callable[..., str]) -> None:
    page.write_text(page.read_text().replace("</body>", CHOOSE + "</body>"))
    shown = browser(page, "--dump-dom")
    assert "<td>eac.steps</td><td>1</td><td>3</td>" in shown
    assert shown.count("<polyline class=") == 3, "one curve a run: no two are seeds of one variant"


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "dark"), [(0, True), (1, False)])
def test_a_browser_paints_it_light_and_dark(
    page: Path, browser: Callable[..., str], tmp_path: Path, scheme: int, dark: bool
) -> None:
    picture = tmp_path / "shot.png"
    browser(page, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}", "--window-size=900,700")
    pixels = np.asarray(Image.open(picture).convert("L"), dtype=float)
    ground = np.median(pixels)
    assert (ground < 64) == dark
    assert np.abs(pixels - ground).max() > 120, "text stands out from its ground"


def shown(out: Path) -> set[str]:
    """Ids of the runs on a page."""
    return set(re.findall(r'<tr class="run" data-run="([^"]*)"', out.read_text()))


def test_of_an_experiment_its_runs_are_shown_and_all_that_they_build_on(tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "page.html"
    make_run(runs, "ame.s0.aaaaaaaa", 1, experiment="demo")
    make_run(runs, "eac.s0.bbbbbbbb", 1, ["ame.s0.aaaaaaaa"], experiment="toy", title="eac full s0 eac.steps=1")
    make_run(runs, "eac.s0.cccccccc", 1, experiment="demo")
    make_run(runs, "toy-eac.full.s0.dddddddd", 1)
    words = ["report", str(out), "--runs", str(runs), "--table"]
    assert main(words) == 0
    assert len(shown(out)) == 4
    assert main([*words, "--preset", "toy"]) == 0
    assert shown(out) == {"ame.s0.aaaaaaaa", "eac.s0.bbbbbbbb", "toy-eac.full.s0.dddddddd"}
    assert "<p>eac full s0 eac.steps=1</p>" in out.read_text()


@pytest.mark.parametrize("words", [["--video", "none.mp4"], ["--figure", "README.md"], ["--preset", "mead"]])
def test_what_cannot_be_shown_is_one_line(tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "page.html"), "--runs", str(tmp_path), "--table", *words]) == 2
    assert words[1] in capsys.readouterr().err
