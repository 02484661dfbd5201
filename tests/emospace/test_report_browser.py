"""The report in a headless browser: runs are chosen, grouped and compared by mouse, keyboard and on a phone.

Needs selenium, Chromium and its driver.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import new_browser
from run_folders import make_run, write_clip

from conventions.rates import VIDEO_FPS
from emospace.report.page import write_report

pytestmark = pytest.mark.slow

PATIENCE = 60.0
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


@pytest.fixture(scope="module")
def opened() -> Iterator[Any]:
    browser = new_browser("--host-resolver-rules=MAP * ~NOTFOUND", browser="ALL")
    yield browser
    browser.quit()


@pytest.fixture
def page(opened: Any, tmp_path: Path) -> Iterator[Any]:
    """Two seeds of the full EAC, one of another, and two evaluations with a video each of the same clip."""
    runs, out = tmp_path / "runs", tmp_path / "page.html"
    for name, variant, seed in (
        ("eac.s0.aaaaaaaa", "full", 0),
        ("eac.s1.bbbbbbbb", "full", 1),
        ("eac.s0.cccccccc", "eac_mlp", 0),
        ("evaluate.s0.dddddddd", "full", 0),
        ("evaluate.s0.eeeeeeee", "eac_mlp", 0),
    ):
        make_run(runs, name, 1, variant=variant, seed=seed, title=f"{name.split('.')[0]} {variant} s{seed}")
    for name, red in (("evaluate.s0.dddddddd", True), ("evaluate.s0.eeeeeeee", False)):
        write_clip(runs / name / "samples" / "clip.mp4", red)
    write_report(out, runs, [])
    opened.get(out.as_uri())
    yield opened
    assert opened.get_log("browser") == [], "no script fails and nothing is asked of a network"


def count(page: Any, selector: str) -> int:
    return len(page.find_elements("css selector", selector))


def press(page: Any, selector: str, *keys: str) -> None:
    """Type into an element that has the focus."""
    page.execute_script("document.querySelector(arguments[0]).focus()", selector)
    page.switch_to.active_element.send_keys(*keys)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_seeds_are_grouped_with_a_band_and_filters_choose_by_keyboard(page: Any) -> None:
    eac = "#charts details:nth-child(1)"
    assert (count(page, f"{eac} polyline"), count(page, f"{eac} polygon")) == (2, 1)
    press(page, "#grouped", " ")
    assert (count(page, f"{eac} polyline"), count(page, f"{eac} polygon")) == (3, 0)
    press(page, ".pick[value='eac.s1.bbbbbbbb']", " ")
    assert count(page, f"{eac} polyline") == 2
    press(page, ".filter[value=full]", " ")
    assert count(page, f"{eac} polyline") == 1
    assert count(page, "#samples [data-run]:not([hidden])") == 1
    press(page, ".filter[value=eac]", " ")
    assert count(page, "#charts details") == 1, "those of the evaluation are left"
    press(page, "#none", " ")
    assert count(page, "#charts svg") == 0


def test_a_chart_reads_its_values_by_arrow_keys(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    press(page, ".chart", Keys.HOME, Keys.ARROW_RIGHT)
    assert "step 2: eac full (2) 0.5 [0.5, 0.5]" in page.find_element("css selector", ".chart output").text


def times(page: Any) -> list[float]:
    return page.execute_script("return [...document.querySelectorAll('#player video')].map(one => one.currentTime)")


def test_videos_of_two_runs_play_in_step(page: Any) -> None:
    until(lambda: page.execute_script("return document.getElementById('time').max") == "24")
    for _ in range(3):
        press(page, "#forth", " ")
    until(lambda: page.find_element("id", "frame").text == "4/25")
    assert times(page) == pytest.approx([3.5 / VIDEO_FPS] * 2)
    press(page, "#play", " ")
    until(lambda: times(page)[0] > 0.5)
    mine, other = times(page)
    assert abs(mine - other) <= 2 / VIDEO_FPS
    press(page, "#play", " ")
    assert page.execute_script("return [...document.querySelectorAll('#player video')].every(one => one.paused)")


def test_nothing_is_wider_than_a_phone(page: Any) -> None:
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    try:
        page.refresh()
        wide, shown = page.execute_script(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert (wide, shown) == (390, 390)
        assert count(page, "#charts details[open]") == 1, "one stage at a time"
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
