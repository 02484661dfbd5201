"""The README's moving picture: the photograph of the demo speaks with three emotions, as an animated WebP.

python -m studies.moving_picture docs/pictures/portrait.webp --audio SPEECH [--model FILE] [--size 384]

The photograph is scikit-image's astronaut (public domain, NASA); SPEECH is a sentence of the toy world.
"""

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from conventions.rates import VIDEO_FPS
from datamodules.speech import speech_frames
from datamodules.video import iterate_frames
from emospace.demo import write_astronaut
from emospace.talker import Talker, VideoSettings, model_in_the_box
from emospace.talking.portrait import Frame

EMOTIONS = ("very happy", "very angry", "very sad")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=model_in_the_box())
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--quality", type=int, default=80)
    options = parser.parse_args()
    third = speech_frames(options.audio) / VIDEO_FPS / len(EMOTIONS)
    schedule = " ".join(f"{number * third:.2f}:{emotion}" for number, emotion in enumerate(EMOTIONS))
    with tempfile.TemporaryDirectory() as folder:
        film, settings = Path(folder) / "film.mp4", VideoSettings(Frame(crop=True, size=options.size))
        Talker.from_file(options.model).talk(
            write_astronaut(Path(folder)), options.audio, schedule, film, settings=settings
        )
        first, *rest = [Image.fromarray(frame.rgb()) for frame in iterate_frames(film)]
    duration = round(1000 / VIDEO_FPS)
    first.save(
        options.out, save_all=True, append_images=rest, duration=duration, loop=0, quality=options.quality, method=6
    )
    print(f"{options.out}: {1 + len(rest)} frames, {options.out.stat().st_size / 1e6:.2f} MB, '{schedule}'")


if __name__ == "__main__":
    main()
