"""The one folder of a web page: uploads and videos of its visitors, deleted when they leave and when the page ends."""

import secrets
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conventions.errors import UserError


class Folder:
    """Files of visitors, each known by the hash of the session."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock = threading.Lock()
        self._held: dict[str, set[Path]] = {}
        self._stopped: set[str] = set()
        self._kept: set[Path] = set()
        self._closed = False

    def keep(self) -> None:
        """What lies in the folder now is no visitor's, and stays until the page ends."""
        self._kept = {path for path in self.path.rglob("*") if path.is_file()}

    def given(self, session: str, upload: Any, what: str) -> Path:
        """The file of an upload as the browser names it (`{"path": ...}`); kept until the session ends.

        UserError where nothing was given, where the file is gone, and where it lies outside of this folder.
        """
        name = upload.get("path") if isinstance(upload, dict) else None
        if not isinstance(name, str) or not name:
            raise UserError(f"{what}: is missing; upload a file")
        path = Path(name).resolve()
        if not path.is_relative_to(self.path) or path.is_relative_to(self.path / "films"):
            raise UserError(f"{what}: is not an uploaded file")
        if not path.is_file():
            raise UserError(f"{what}: the uploaded file was deleted; upload it again")
        if path not in self._kept:
            self._hold(session, path)
        return path

    def film(self, session: str) -> Path:
        """A place for a new video of the session; its former videos are deleted."""
        self._release(session, lambda path: path.is_relative_to(self.path / "films"))
        folder = self.path / "films" / secrets.token_urlsafe(16)
        folder.mkdir(parents=True)
        self._hold(session, folder)
        return folder / "film.mp4"

    def begin(self, session: str) -> None:
        """A video of the session is being made."""
        with self._lock:
            self._stopped.discard(session)

    def stop(self, session: str) -> None:
        """The video that is being made for the session is no longer wanted."""
        with self._lock:
            self._stopped.add(session)

    def stopped(self, session: str) -> bool:
        """Whether `stop` was called since `begin`, or the page ends."""
        return self._closed or session in self._stopped

    def close(self) -> None:
        """The page ends: no video is wanted any longer."""
        self._closed = True

    def end(self, session: str) -> None:
        """Delete the session's uploads and videos, but for uploads that another session uses."""
        self.stop(session)
        self._release(session, lambda path: True)

    def _hold(self, session: str, path: Path) -> None:
        with self._lock:
            self._held.setdefault(session, set()).add(path)

    def _release(self, session: str, which: Callable[[Path], bool]) -> None:
        with self._lock:
            held = self._held.get(session, set())
            gone = {path for path in held if which(path)}
            held -= gone
            others = set[Path]().union(*self._held.values())
        for path in gone - others:
            _delete(path)


def _delete(path: Path) -> None:
    """Delete a file, and its folder where that is empty then; or a whole folder."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    path.unlink(missing_ok=True)
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
