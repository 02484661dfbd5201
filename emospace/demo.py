"""`emospace demo`: the whole thread on the toy world. Each step is skipped when what it makes is there already."""

import sys
import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from PIL import Image
from skimage.data import astronaut

from ablations import formats
from ablations.registry import compose_variant
from ablations.tables import build_table
from conventions.files import atomic_path, write_text
from emospace.report.page import write_report
from emospace.talker import Talker
from experiments.graph import FULL, compose, plan
from experiments.runner import execute
from experiments.stage import StageRun
from experiments.sweep import expand_sweep
from experiments.world import ready_data

EXPERIMENT = "demo"
PORTRAIT = "W101"
SPEECH = "M003/audio/happy/level_3/001.m4a"
EMOTION = "very happy"
EMOTIONS = "0:very happy 0.6:very angry 1.2:very sad"


def say(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)


def demo(work: Path, runs: Path) -> int:
    """World, store, stand-ins, the runs of the sweep `demo`, table, talking face and report; an exit code."""
    began = time.monotonic()
    say("demo: toy actors, substitute networks. It shows that everything runs, not how good the paper's method is.")
    experiment = compose(EXPERIMENT)
    ready_data(experiment)
    for words in [(EXPERIMENT, "stage=gpt2"), *(job.words for job in expand_sweep(EXPERIMENT).jobs)]:
        code = _execute(words, runs)
        if code != 0:
            return code
    table = build_table("3", runs, EXPERIMENT, (0,))
    print(formats.markdown(table))
    full = plan(experiment)[-1]
    video, page = work / "talk.mp4", work / "report.html"
    world = Path(experiment.config.world.root)
    _talk(full, runs, video, lambda: world / "portraits" / f"{PORTRAIT}.png", world / SPEECH, EMOTION, "toy portrait")
    _talk(full, runs, work / "portrait.mp4", lambda: write_astronaut(work), world / SPEECH, EMOTIONS, "photograph")
    if _outdated(page, [*(run / "status.json" for run in runs.iterdir()), video]):
        write_report(page, runs, [table], [(f"toy portrait {PORTRAIT}, '{EMOTION}'", video)])
    say(f"demo: done in {time.monotonic() - began:.0f} s; open {page}")
    return 0


def _execute(words: Sequence[str], runs: Path) -> int:
    """One job of a sweep, in this process so that its progress is seen."""
    experiment, *rest = words
    target = next((word.removeprefix("stage=") for word in rest if word.startswith("stage=")), "evaluate")
    overrides = [word for word in rest if not word.startswith("stage=")]
    return execute(compose_variant(experiment, FULL, None, overrides, target), runs).exit_code


def _talk(
    full: StageRun, runs: Path, out: Path, portrait: Callable[[], Path], speech: Path, emotion: str, what: str
) -> None:
    """A portrait that speaks with the full model's networks, unless the video is newer than the run."""
    folder = full.folder(runs).path
    if _outdated(out, [folder / "metrics.json"]):
        report = Talker.from_run(folder).talk(portrait(), speech, emotion, out)
        say(f"{report.out}: {report.seconds:.2f} s of a {what}, '{emotion}'")


def write_astronaut(folder: Path) -> Path:
    """scikit-image's astronaut (public domain) as a portrait, with its landmarks beside it; the image's path."""
    path = folder / "astronaut.png"
    with atomic_path(path, ".png") as partial:
        Image.fromarray(astronaut()).save(partial)
    measured = resources.files("emospace") / "portraits" / "astronaut.landmarks.json"
    write_text(path.with_suffix(".landmarks.json"), measured.read_text(encoding="utf-8"))
    return path


def _outdated(made: Path, sources: Sequence[Path]) -> bool:
    """Whether `made` is absent or older than one of its sources."""
    if not made.exists():
        return True
    return any(source.exists() and source.stat().st_mtime > made.stat().st_mtime for source in sources)
