"""Published weights: found in their folders, checked by SHA-256, fetched over HTTP whole or not at all."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conventions.errors import UserError
from conventions.weights import PUBLISHED, WeightFile
from emospace.cli import main

CONTENT = bytes(range(256)) * 9000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Makers(BaseHTTPRequestHandler):
    """`/file`: the content; `/cut`: half of what it announces; `/hop`: sent on to `/file`; else 404."""

    def do_GET(self) -> None:
        if self.path == "/hop":
            self.send_response(302)
            self.send_header("Location", "/file")
            self.end_headers()
        elif self.path in ("/file", "/cut"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT if self.path == "/file" else CONTENT[: len(CONTENT) // 2])
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def makers() -> Iterator[str]:
    """Address of a web server that has the file."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Makers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_files_are_checked_by_their_first_digits(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"emospace")
    digest = "9a7b2b4d"
    with pytest.raises(UserError, match="expected 9a7b2b4d; get w from somewhere"):
        WeightFile("w", "somewhere", digest).checked(path)
    assert WeightFile("w", "somewhere").checked(path) == path


def test_the_given_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = WeightFile("w.bin", "https://makers")
    given, named = tmp_path / "given", tmp_path / "named"
    monkeypatch.setenv("EMOSPACE_WEIGHTS", str(named))
    with pytest.raises(UserError, match=r"w\.bin: not found in .*given, .*named, .*get it from https://makers"):
        file.find(given)
    with pytest.raises(UserError, match=r"`emospace doctor --fetch w\.bin` downloads it$"):
        WeightFile("w.bin", "https://makers/w.bin", SHA256).find(given)
    for folder in (named, given):
        folder.mkdir()
        (folder / "w.bin").touch()
        assert file.find(given) == folder / "w.bin"
    assert file.find(given / "w.bin") == given / "w.bin"
    assert file.find() == named / "w.bin"


@pytest.mark.parametrize("page", ["file", "hop"])
def test_a_fetched_file_is_the_published_one(makers: str, tmp_path: Path, page: str) -> None:
    path = WeightFile("w.bin", f"{makers}/{page}", SHA256[:8]).fetch(tmp_path / "new")
    assert path == tmp_path / "new" / "w.bin"
    assert path.read_bytes() == CONTENT
    assert [each.name for each in path.parent.iterdir()] == ["w.bin"]


@pytest.mark.parametrize(
    ("page", "sha256", "words"),
    [
        ("file", "00ff00ff", "SHA-256 is .*, expected 00ff00ff; nothing is kept"),
        ("cut", SHA256, "SHA-256 is .*; nothing is kept|could not be downloaded"),
        ("absent", SHA256, "could not be downloaded .*Not Found"),
        ("file", None, "has no published SHA-256"),
    ],
)
def test_what_is_not_the_published_file_leaves_nothing(
    makers: str, tmp_path: Path, page: str, sha256: str | None, words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        WeightFile("w.bin", f"{makers}/{page}", sha256).fetch(tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    for address in ("http://127.0.0.1:9/w", "no address"):
        with pytest.raises(UserError, match=f"could not be downloaded .* put it into {tmp_path}$"):
            WeightFile("w.bin", address, SHA256).fetch(tmp_path)


def test_what_is_there_is_checked_and_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(CONTENT)
    assert WeightFile("w.bin", "http://127.0.0.1:9/w", SHA256).fetch(tmp_path) == tmp_path / "w.bin"
    with pytest.raises(UserError, match="expected 00ff00ff"):
        WeightFile("w.bin", "http://127.0.0.1:9/w", "00ff00ff").fetch(tmp_path)


def test_doctor_fetches_by_name(
    makers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EMOSPACE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("emospace.doctor.PUBLISHED", (WeightFile("w.bin", f"{makers}/file", SHA256),))
    assert main(["doctor", "--fetch", "w.bim"]) == 2
    assert capsys.readouterr().err == "emospace doctor: --fetch: no file 'w.bim' is known; did you mean 'w.bin'?\n"
    assert main(["doctor"]) == 0
    assert "absent: emospace doctor --fetch w.bin" in capsys.readouterr().out
    assert main(["doctor", "--fetch", "w.bin"]) == 0
    captured = capsys.readouterr()
    assert captured.err == f"w.bin: {tmp_path / 'w.bin'}\n"
    assert str(tmp_path / "w.bin") in captured.out
    assert (tmp_path / "w.bin").read_bytes() == CONTENT


def test_published_names_are_unique_and_what_can_be_fetched_has_an_address_of_its_own() -> None:
    names = [file.name for file in PUBLISHED]
    assert len(set(names)) == len(names)
    fetched = [file for file in PUBLISHED if file.sha256]
    assert len(fetched) == 4
    assert all(file.source.startswith("https://") and file.source.endswith(file.name) for file in fetched)
