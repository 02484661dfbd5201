"""Serves the page until it is interrupted; nothing that visitors gave or got is left afterwards."""

import contextlib
import importlib.util
import logging
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conventions.errors import MissingPackage, UserError
from emospace.talker import Talker
from emospace.web.folder import Folder

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")

POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; frame-ancestors 'none'"
)
"""Content security policy: the browser loads and calls nothing but this server."""

FETCHING = ("/file=http", "/file/http", "/proxy=", "/stream/http")
"""Addresses by which Gradio would fetch a page of another server."""


class Guard:
    """ASGI middleware in front of Gradio.

    Requests by a host name other than `hosts` are refused (None: by any name), so that no page of another site reaches
    a loopback server by a name of its own; and so are requests that would make this server call another.
    """

    def __init__(self, app: Any, hosts: Sequence[str] | None) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or answer 403."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not self._allows(scope):
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"refused"})
            return

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"content-security-policy", POLICY.encode())]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_with_policy)

    def _allows(self, scope: Any) -> bool:
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return (self._hosts is None or name in self._hosts) and not any(part in scope["path"] for part in FETCHING)


WAITING = 20
"""Visitors whose videos may wait at once."""

LARGEST_UPLOAD = "100mb"

QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_SHARE": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Environment in which Gradio calls no other server."""


def require_gradio() -> None:
    """MissingPackage where Gradio is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise MissingPackage("gradio", "web", "The web page")


@dataclass(frozen=True)
class Limits:
    """What visitors may use."""

    longest: float
    """Seconds of speech that are accepted."""
    keep_seconds: int
    """Time after which files are deleted, where their visitor has not left before."""


@contextlib.contextmanager
def page_at(talker: Talker, host: str, port: int, limits: Limits, weights: Path | None = None) -> Iterator[str]:
    """The page, served while the block runs; its address. UserError where the address cannot be used.

    All files lie in one new folder, which no other user of the machine can read.
    """
    with tempfile.TemporaryDirectory(prefix="emospace-web-", ignore_cleanup_errors=True) as root:
        os.environ.update(QUIET, GRADIO_TEMP_DIR=str(Path(root).resolve() / "files"))
        from starlette.middleware import Middleware  # pyright: ignore[reportMissingImports]

        from emospace.web.job import Studio, write_examples
        from emospace.web.page import STYLE, TOGETHER, build

        logging.getLogger("httpx").setLevel(logging.WARNING)
        examples = write_examples(Path(root) / "examples")
        (Path(root) / "files").mkdir()
        folder = Folder(Path(root) / "files")
        studio = Studio(talker, folder, limits.longest, weights, examples.known)
        page = build(studio, examples, limits.keep_seconds)
        folder.keep()
        guard = Middleware(Guard, hosts=LOOPBACK if host in LOOPBACK else None)
        try:
            _, address, _ = page.queue(max_size=WAITING, default_concurrency_limit=1).launch(
                server_name=host,
                server_port=port,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                show_error=False,
                footer_links=[],
                run_history=False,
                enable_monitoring=False,
                mcp_server=False,
                ssr_mode=False,
                max_file_size=LARGEST_UPLOAD,
                app_kwargs={"middleware": [guard], "docs_url": None, "redoc_url": None, "openapi_url": None},
                head=TOGETHER,
                css=STYLE,
            )
        except OSError as error:
            raise UserError(f"port: {host}:{port} cannot be used ({error}); give another --port") from error
        try:
            yield address
        finally:
            folder.close()
            page.close(verbose=False)
            with studio.busy:  # a video that is being made ends before its folder is deleted
                pass


def wait() -> None:
    """Until the process is interrupted."""
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
