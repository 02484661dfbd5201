"""W&B's own settings in the environment, and its server: where it is, whether it answers, how long it is waited for."""

import contextlib
import http.client
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from experiments.schema import TrackingConfig

START_SECONDS = 5.0
"""How long a run waits for W&B's server before it goes on without."""
PROBE_SECONDS = 2.0
"""How long the server may take to answer while an upload is waited for."""
SILENT_PROBES = 2
"""So many probes without an answer, one after another, end the wait: a server that works on an upload may miss one."""

_WORDS = {"online": "online", "run": "online", "shared": "online", "disabled": "disabled"}
_silent: set[tuple[str | None, str | None]] = set()
"""Servers (address, key) that did not answer this process."""


def mode_of(config: TrackingConfig, needs_server: bool) -> str:
    """online, offline or disabled: the config's word, else WANDB_MODE, else online where there is a key or an agent.

    A key alone never makes a run online that WANDB_MODE keeps offline.
    """
    if config.mode != "auto":
        return config.mode
    if word := os.environ.get("WANDB_MODE"):
        return _WORDS.get(word, "offline")
    return "online" if needs_server or os.environ.get("WANDB_API_KEY") else "offline"


def _server() -> tuple[str | None, str | None]:
    return os.environ.get("WANDB_BASE_URL"), os.environ.get("WANDB_API_KEY")


def started(start: Callable[[], Any]) -> Any:
    """What `start` returns; a server that failed once is not waited for again by this process."""
    if _server() in _silent:
        raise ConnectionError("W&B's server did not answer an earlier request")
    try:
        return start()
    except Exception:
        _silent.add(_server())
        raise


def finish(live: Any, abandon: Callable[[], None]) -> None:
    """Wait for a run's upload for as long as its server answers; TimeoutError, and `abandon`, where it falls silent."""
    errors: list[Exception] = []

    def work() -> None:
        try:
            live.finish()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    silent = 0
    while thread.is_alive():
        silent = 0 if answers(live.settings.base_url) else silent + 1
        if silent == SILENT_PROBES:
            abandon()
            raise TimeoutError("W&B's server stopped responding; data that were not sent remain in the run folder")
        thread.join(PROBE_SECONDS)
    if errors:
        raise errors[0]


def answers(address: str) -> bool:
    """Whether a server answers anything at all in time; the lookup of its name counts too."""
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            with contextlib.suppress(urllib.error.HTTPError):  # an answer too
                urllib.request.urlopen(address, timeout=PROBE_SECONDS).close()
            answered.set()

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(PROBE_SECONDS)
