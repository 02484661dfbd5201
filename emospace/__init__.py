"""Floor 7: the face of the project: command line and `Talker`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds this package and its sisters."""


def keep_out_the_working_directory() -> None:
    """Where this is `python -m emospace.cli`, take the working directory off the import path.

    It comes first there: a user's `metrics.py` would be executed in place of ours.
    """
    as_module = any(pair == ("-m", "emospace.cli") for pair in zip(sys.orig_argv, sys.orig_argv[1:], strict=False))
    if as_module and not sys.flags.safe_path and Path(sys.path[0]).resolve() != ROOT:
        del sys.path[0]


keep_out_the_working_directory()
