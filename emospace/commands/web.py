"""A web page on which visitors make talking faces: portrait, speech (file or microphone) and an emotion.

Videos are made one after another. Uploads and videos are in a temporary folder and are deleted when their visitor
leaves or the server stops. The page contacts no other server. By default it accepts only visitors from this machine.
"""

import argparse
import sys
from pathlib import Path

from conventions.errors import UserError
from emospace.commands.talk import add_model, talker_of

EXAMPLE = "emospace web --port 7860"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace web`."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this machine only)")
    parser.add_argument("--port", type=int, default=7860, help="TCP port (default 7860)")
    parser.add_argument("--longest", type=float, default=120.0, help="longest speech in seconds (default 120)")
    parser.add_argument("--keep", type=int, default=60, help="minutes after which files are deleted (default 60)")
    parser.add_argument("--weights", type=Path, help="folder that holds face_landmarker.task")
    add_model(parser)


def run(options: argparse.Namespace) -> int:
    """Serve the page until it is interrupted."""
    if not 1 <= options.port <= 65535:
        raise UserError(f"port: {options.port} is outside 1..65535")
    if options.longest <= 0 or options.keep <= 0:
        raise UserError("longest, keep: must be more than 0")
    from emospace.web.serve import Limits, page_at, require_gradio, wait
    from lightning_modules.training.memory import keep_freed_memory

    require_gradio()
    keep_freed_memory()
    talker, limits = talker_of(options), Limits(options.longest, 60 * options.keep)
    with page_at(talker, options.host, options.port, limits, options.weights) as address:
        print(f"the page is at {address}; Ctrl-C ends it", file=sys.stderr, flush=True)
        wait()
    return 0
