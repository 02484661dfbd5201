"""A headless Chromium that a test drives; needs selenium, Chromium and its driver."""

import shutil
from typing import Any

import pytest

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1000")
QUIET = ("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync")


def new_browser(*words: str, **logs: str) -> Any:
    """A browser with further options, which keeps these logs; skips the test where there is none."""
    pytest.importorskip("selenium", reason="the browser is driven by selenium")
    from selenium import webdriver

    browser, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not browser or not driver:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for word in (*OPTIONS, *QUIET, *words):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", logs)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
