"""Which requests the page's server answers: only its own content, and only by the host names that it is given."""

from collections.abc import Sequence
from typing import Any

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
