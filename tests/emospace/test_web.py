"""What the web page makes of visitors' files and words, without a browser."""

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_model import parts_of, tiny_modules

from conventions.errors import UserError
from conventions.rates import VIDEO_FPS
from datamodules.audio import write_audio
from datamodules.video import read_video
from emospace.cli import main
from emospace.demo import write_astronaut
from emospace.talker import Talker
from emospace.talking.model_file import build
from emospace.web.folder import Folder
from emospace.web.job import MIXTURE, PICTURE, SCHEDULE, SOUND, WORDS, Examples, Stopped, Studio, Wish, plain_words
from emospace.web.serve import LOOPBACK, Guard

SECONDS = 0.4


def upload(folder: Folder, name: str, content: bytes = b"") -> dict[str, str]:
    """A file as Gradio stores an upload, and what the browser sends of it."""
    path = folder.path / f"{abs(hash(content))}" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return {"path": str(path)}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "files").mkdir()
    return Folder(tmp_path / "files")


@pytest.fixture(scope="module")
def talker() -> Talker:
    return Talker(build(parts_of(tiny_modules()), "tiny.emospace"))


@pytest.fixture
def studio(folder: Folder, talker: Talker, tmp_path: Path) -> Studio:
    return Studio(talker, folder, longest=5.0, examples=Examples(write_astronaut(tmp_path), None).known)


@pytest.fixture
def wish(folder: Folder, tmp_path: Path) -> Wish:
    write_audio(tmp_path / "a.wav", np.sin(np.arange(int(16_000 * SECONDS)) / 20).astype(np.float32) / 2)
    speech = upload(folder, "speech.wav", (tmp_path / "a.wav").read_bytes())
    portrait = upload(folder, "me.png", (write_astronaut(tmp_path)).read_bytes())
    return Wish(
        *(portrait, speech, WORDS, "happy", None, None, "happy", "sad", 25, "0:happy 0.2:sad", False, 2, "still"),
        crop=True,
        size="256",
    )


def ignore(done: int, total: int) -> None:
    """No progress is shown."""


def test_a_film_is_made_beside_its_driven_face_and_deleted_with_its_uploads(
    studio: Studio, folder: Folder, wish: Wish
) -> None:
    counts = []
    made = studio.make("visitor", wish, lambda done, total: counts.append((done, total)))
    film, render = read_video(made.film), read_video(made.render)
    frames = round(SECONDS * VIDEO_FPS)
    assert film.shape == (frames, 256, 256, 3)
    assert len(render) == frames
    assert counts == [(done, frames) for done in range(1, frames + 1)]
    covered = (render > 20).any(-1).mean()
    assert 0.1 < covered < 0.9, "a face on a dark ground"
    again = studio.make("visitor", wish, ignore)
    assert not made.film.exists(), "a visitor's last film is deleted for the next"
    folder.end("visitor")
    assert not again.film.exists()
    assert [path for path in folder.path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("change", "emotions"),
    [
        ({"source": MIXTURE}, [("75% happy + 25% sad", 0)]),
        ({"source": SCHEDULE}, [("happy", 0), ("sad", 0.2)]),
        ({"own_level": True, "level": 3, "words": "angry"}, [("angry", 0)]),
    ],
)
def test_emotions_are_as_wished(
    studio: Studio, wish: Wish, change: dict[str, Any], emotions: list[tuple[str, float]]
) -> None:
    report = studio.make("visitor", wish._replace(**change), ignore).report
    assert [(each["emotion"], each["second"]) for each in report.emotions] == emotions
    if change.get("own_level"):
        assert report.emotions[0]["level"] == pytest.approx(3, abs=1e-3)


def test_emotion_files_are_uploads(studio: Studio, wish: Wish, folder: Folder) -> None:
    """The tiny networks take audio and no images; their refusal shows that the image reached them."""
    report = studio.make("visitor", wish._replace(source=SOUND, sound=wish.speech), ignore).report
    assert report.emotions[0]["modality"] == "audio"
    with pytest.raises(UserError, match="this encoder does not take image"):
        studio.make("visitor", wish._replace(source=PICTURE, picture=wish.portrait), ignore)
    for source in (PICTURE, SOUND):
        with pytest.raises(UserError, match="emotion: is missing"):
            studio.make("visitor", wish._replace(source=source), ignore)


def test_wishes_that_cannot_be_are_one_line_without_the_servers_folders(
    studio: Studio, wish: Wish, folder: Folder, tmp_path: Path
) -> None:
    write_audio(tmp_path / "long.wav", np.zeros(16_000 * 6, np.float32))
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "secret.png")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"portrait": None}, "portrait: is missing"),
        ({"portrait": upload(folder, "no.png", b"no picture")}, r"^no\.png: cannot be read as an image"),
        ({"portrait": {"path": str(tmp_path / "secret.png")}}, "portrait: is not an uploaded file"),
        ({"portrait": {"path": f"{folder.path}/../secret.png"}}, "portrait: is not an uploaded file"),
        ({"portrait": {"path": "https://example.com/a.png"}}, "portrait: is not an uploaded file"),
        ({"portrait": {"path": f"{folder.path}/gone/a.png"}}, "was deleted; upload it again"),
        ({"portrait": {"path": 3}}, "portrait: is missing"),
        ({"speech": upload(folder, "me.wav", b"no sound")}, r"^me\.wav: cannot be decoded"),
        ({"speech": upload(folder, "long.wav", (tmp_path / "long.wav").read_bytes())}, "lasts 6 s; .* at most 5 s"),
        ({"source": "Smell"}, "emotion: 'Smell' is unknown; valid: Words"),
        ({"words": " "}, "emotion: is empty"),
        ({"words": None}, "emotion: is empty"),
        ({"words": "sad " * 200}, "emotion: has 799 characters"),
        ({"source": MIXTURE, "share": "all"}, "mixture: 'all' is outside 0..100"),
        ({"own_level": True, "level": 9}, "intensity: 9 is outside 0..3"),
        ({"pose": "/srv/clip.mp4"}, "head: .* is unknown"),
        ({"size": "100000"}, "size: .* is unknown"),
    ]
    for change, line in cases:
        with pytest.raises(UserError, match=line) as caught:
            studio.make("visitor", wish._replace(**change), ignore)
        assert "\n" not in str(caught.value)
        if "head" not in line:
            assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    "words",
    ["/etc/passwd", "~/me.png", "face.png", "a very sad voice.wav", "0:calm 2:../b.mp3", "50% sad + 50% /etc/hosts"],
)
def test_words_never_name_a_file_of_the_server(words: str) -> None:
    with pytest.raises(UserError, match="looks like the name of a file"):
        plain_words(words)


def test_words_of_several_lines_are_one_schedule() -> None:
    assert plain_words(" 0:calm\n 2:very  happy\n") == "0:calm 2:very happy"


def test_a_film_stops_when_its_visitor_leaves_or_the_page_ends(studio: Studio, wish: Wish, folder: Folder) -> None:
    with pytest.raises(Stopped):
        studio.make("visitor", wish, lambda done, total: folder.stop("visitor"))
    assert not [path for path in (folder.path / "films").rglob("*") if path.is_file()]
    studio.make("visitor", wish, ignore)
    with pytest.raises(Stopped):
        studio.make("other", wish, lambda done, total: folder.close())


def test_an_upload_stays_while_another_visitor_uses_it(folder: Folder) -> None:
    """Gradio stores two uploads of the same content as one file."""
    shared, mine = upload(folder, "a.png", b"same"), upload(folder, "b.png", b"mine")
    for session in ("one", "two"):
        folder.given(session, shared, "portrait")
    folder.given("one", mine, "portrait")
    folder.end("one")
    assert Path(shared["path"]).exists()
    assert not Path(mine["path"]).exists()
    assert not Path(mine["path"]).parent.exists()
    folder.end("two")
    assert not Path(shared["path"]).exists()


def test_films_are_no_uploads_and_examples_are_kept(folder: Folder) -> None:
    film = folder.film("one")
    film.write_bytes(b"film")
    with pytest.raises(UserError, match="is not an uploaded file"):
        folder.given("two", {"path": str(film)}, "speech")
    example = upload(folder, "example.png")
    folder.keep()
    folder.given("one", example, "portrait")
    folder.end("one")
    assert Path(example["path"]).exists()
    assert not film.exists()


def answer(host: str, path: str, hosts: tuple[str, ...] | None = LOOPBACK) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers that a guarded server gives."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "headers": [(b"host", host.encode())]}
    asyncio.run(Guard(app, hosts)(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"])


def test_the_guard_refuses_strange_names_and_addresses() -> None:
    for host in ("127.0.0.1:7860", "localhost", "localhost:7860", "[::1]:7860", "[::1]"):
        status, headers = answer(host, "/")
        assert status == 200
        assert b"connect-src 'self'" in headers[b"content-security-policy"]
    for host in ("evil.example:7860", "127.0.0.1.evil.example", "", "evil.example]"):
        assert answer(host, "/")[0] == 403
    assert answer("pc.home:7860", "/", None)[0] == 200
    for path in ("/gradio_api/file=https://example.com/a.png", "/gradio_api/proxy=http://a", "/file/http://a"):
        assert answer("localhost", path)[0] == 403


def test_without_gradio_one_line_names_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "gradio" else found(name, *a))
    assert main(["web"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line == "emospace web: The web page needs the package gradio: pip install 'emospace[web]'"


@pytest.mark.parametrize("words", [("--port", "0"), ("--port", "web"), ("--longest", "0"), ("--keep", "-1")])
def test_arguments_that_cannot_be(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["web", *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
