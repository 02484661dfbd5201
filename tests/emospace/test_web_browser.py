"""The web page in a headless browser: a visitor uploads, clicks, waits, and gets a video that moves.

Needs Gradio (`emospace[web]`), selenium, Chromium and its driver.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from browsers import new_browser
from tiny_model import parts_of, tiny_modules

from conventions.rates import VIDEO_FPS
from datamodules.audio import write_audio
from datamodules.video import read_video
from emospace.demo import write_astronaut
from emospace.talking.model_file import write_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
SECONDS = 1.0
PATIENCE = 600.0
T = TypeVar("T")


def until(find: Callable[[], T]) -> T:
    """What `find` finds, as soon as it does."""
    end = time.monotonic() + PATIENCE
    while not (found := find()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.3)
    return found


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model.emospace`, `astronaut.png` and `speech.wav`."""
    folder = tmp_path_factory.mktemp("web")
    write_model(folder / "model.emospace", parts_of(tiny_modules()))
    write_astronaut(folder)
    loud = np.sin(np.arange(int(16_000 * SECONDS)) / 20) * np.sin(np.arange(int(16_000 * SECONDS)) / 1000)
    write_audio(folder / "speech.wav", (loud / 2).astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def server(material: Path) -> Iterator[tuple[str, Path]]:
    """The page's address, and the folder in which it keeps its own."""
    pytest.importorskip("gradio", reason="the web page needs gradio: pip install 'emospace[web]'")
    temporary = material / "temporary"
    temporary.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["web", "--port", str(port), "--model", str(material / "model.emospace")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    log = material / "log.txt"
    with log.open("w") as lines:
        process = subprocess.Popen([sys.executable, "-m", "emospace.cli", *words], env=environment, stderr=lines)
    try:
        until(lambda: "the page is at" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}", temporary
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert not list(temporary.glob("emospace-web-*")), "nothing is left of the visitors' files"


@pytest.fixture
def visitors() -> Iterator[Callable[[str], Any]]:
    """Opens the page in a browser of its own."""
    opened: list[Any] = []

    def visit(address: str) -> Any:
        opened.append(new_browser(performance="ALL"))
        opened[-1].set_page_load_timeout(PATIENCE)
        opened[-1].get(address)
        until(lambda: find(opened[-1], "#make"))
        return opened[-1]

    yield visit
    for page in opened:
        page.quit()


def find(page: Any, selector: str) -> list[Any]:
    return page.find_elements("css selector", selector)


def click(page: Any, selector: str) -> None:
    page.execute_script("arguments[0].click()", find(page, selector)[0])


def upload(page: Any, material: Path) -> None:
    """Choose portrait and speech, and wait until the server has them."""
    for place, name in (("portrait", "astronaut.png"), ("speech", "speech.wav")):
        until(lambda place=place: find(page, f"#{place} input[type=file]"))[0].send_keys(str(material / name))
    until(lambda: find(page, "#portrait img") and find(page, "#speech [data-testid='waveform-Speech']"))


def fill(page: Any, place: str, text: str) -> None:
    from selenium.webdriver.common.keys import Keys

    field = until(lambda: find(page, f"#{place} input, #{place} textarea"))[0]
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(text, Keys.TAB)


def film_of(page: Any, place: str = "film") -> str:
    """The address of a video on the page, as soon as it is there."""

    def address() -> str | None:
        return page.execute_script(f"return document.querySelector('#{place} video')?.src")

    return until(address)


def frames_of(address: str, folder: Path) -> np.ndarray:
    path = folder / "film.mp4"
    with urllib.request.urlopen(address) as answer:
        path.write_bytes(answer.read())
    return read_video(path)


def status_of(address: str) -> int:
    try:
        with urllib.request.urlopen(address) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def requested(page: Any) -> set[str]:
    """Servers that the browser called."""
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    addresses = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    addresses += [e["params"]["url"] for e in events if e["method"] == "Network.webSocketCreated"]
    return {urllib.parse.urlsplit(address).netloc for address in addresses} - {""}


def test_a_visitor_makes_films(
    server: tuple[str, Path], visitors: Callable[[str], Any], material: Path, tmp_path: Path
) -> None:
    address, temporary = server
    page = visitors(address)
    upload(page, material)
    click(page, "#make")
    film, render = film_of(page), film_of(page, "render")
    frames, driven = frames_of(film, tmp_path), frames_of(render, tmp_path)
    assert frames.shape == (SECONDS * VIDEO_FPS, 512, 512, 3)
    assert len(driven) == len(frames)
    assert frames.mean((1, 2, 3)).min() > 40, "not black"
    for shown in (frames, driven):
        steps = np.abs(np.diff(shown.astype(int), axis=0)).mean((1, 2, 3))
        assert (steps > 0.05).mean() > 0.5, "it moves"
    assert "quietly happy, intensity" in find(page, "#about")[0].text

    click(page, "#source input[value=Mixture]")
    fill(page, "first", "happy")
    fill(page, "second", "sad")
    click(page, "#make")
    until(lambda: "50% happy + 50% sad" in find(page, "#about")[0].text)
    assert status_of(film) == 403, "a visitor's last film is deleted for the next"
    film = film_of(page)

    click(page, "#source input[value=Words]")
    fill(page, "words", "/etc/passwd")
    click(page, "#make")
    until(lambda: "looks like the name of a file" in page.page_source)

    assert requested(page) == {urllib.parse.urlsplit(address).netloc}, "no other server is called"
    assert status_of(film) == 200
    outside = Path(tempfile.gettempdir()) / "outside.png"
    assert status_of(f"{address}/gradio_api/file={outside}") == 403
    assert status_of(f"{address}/gradio_api/file={material / 'model.emospace'}") == 403
    page.get("about:blank")
    until(lambda: status_of(film) == 403)
    assert list(temporary.rglob("film*.mp4")) == [], "deleted when the visitor leaves"


def test_two_visitors_wait_for_each_other(
    server: tuple[str, Path], visitors: Callable[[str], Any], material: Path, tmp_path: Path
) -> None:
    pages = [visitors(server[0]) for _ in range(2)]
    for page, words in zip(pages, ("happy", "sad"), strict=True):
        upload(page, material)
        fill(page, "words", words)
    for page in pages:
        click(page, "#make")
    films = [film_of(page) for page in pages]
    assert films[0] != films[1]
    assert [len(frames_of(film, tmp_path)) for film in films] == [SECONDS * VIDEO_FPS] * 2
    for page, words in zip(pages, ("happy", "sad"), strict=True):
        until(lambda page=page, words=words: f"{words}, intensity" in find(page, "#about")[0].text)
