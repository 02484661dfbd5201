"""What the JSON files of a run folder may hold: entries that other parts of the program read have one type each."""

import math
from collections.abc import Callable, Mapping
from typing import Any

Test = Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """A finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _names(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _or_none(test: Test) -> Test:
    return lambda value: value is None or test(value)


FILES: Mapping[str, Mapping[str, Test]] = {
    "status.json": {
        **dict.fromkeys(("state", "hash", "stage", "variant", "title", "experiment", "sweep", "launch"), _text),
        **dict.fromkeys(("step", "total", "seconds", "data_wait"), _or_none(is_number)),
        **dict.fromkeys(("pid", "seed", "heartbeat", "peak_memory_bytes"), is_number),
        **{"reason": _or_none(_text), "fields": _names},
    },
    "metrics.json": {
        **dict.fromkeys(("hash", "stage", "protocol"), _text),
        **dict.fromkeys(("required", "undefined", "stand_ins", "refused"), _texts),
        **dict.fromkeys(("metrics", "backbones", "networks_sha256", "frames_sha256"), _mapping),
    },
    "provenance.json": {
        "parents": _names,
        **dict.fromkeys(("git", "packages", "machine", "store", "files", "parent_weights"), _mapping),
    },
}
"""File -> entry -> what holds of its value where it is there; further entries are free."""


def wrong_entry(file: str, content: Mapping[str, Any]) -> str | None:
    """The first entry of a file whose value is of another type; None for audio content."""
    tests = FILES.get(file, {})
    return next((name for name, value in content.items() if name in tests and not tests[name](value)), None)
