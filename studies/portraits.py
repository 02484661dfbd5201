"""Portraits that speak with several emotions: contact sheets, and measures of the frames by independent networks.

python -m studies.portraits PICTURE... --audio SPEECH --out FOLDER [--model FILE] [--size 512] [--weights FOLDER]

The portraits are animated as by `emospace talk --crop --pose still` (`astronaut`: the photograph of the demo). A sheet
`NAME.jpg` has a row for each emotion: the portrait, then frames evenly through the speech. The table's columns are
means over all frames:

SFace      cosine to the portrait
found      share of the frames in which MediaPipe finds a face
jaw        rank correlation of MediaPipe's jawOpen with the driven jaw
sharpness  variance of the Laplacian about the face, as a share of the portrait's
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.ndimage import laplace
from scipy.stats import spearmanr
from torch import Tensor

from conventions.weights import LANDMARKER
from datamodules.speech import speech_pieces
from emospace.demo import write_astronaut
from emospace.talker import Talker, VideoSettings, model_in_the_box
from emospace.talking.drawing import Canvas, Speech, perform
from emospace.talking.emotion import EmotionTrack, parse_schedule
from emospace.talking.motion import Liveliness, Motion
from emospace.talking.portrait import Frame, Portrait
from emospace.talking.pose import read_pose
from face3d.coefficients import EXPRESSION
from lightning_modules.pipeline import CHUNK
from studies.toy_faces import RealFaceNetworks
from toyworld.action_units import axes

EMOTIONS = ("neutral", "very happy", "very angry", "very sad", "very surprised")
SHOWN = 6
"""Frames of each emotion on a sheet."""
ASTRONAUT = "astronaut"
FACE = 0.5
"""Half side of the region whose sharpness is measured, as a share of the square's."""


class RecordedMotion(Motion):
    """A motion that keeps what it gave."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # pyright: ignore[reportArgumentType]
        self.driven: list[Tensor] = []

    def next(
        self, expression: Float[Tensor, "t 64"], energy: Float[Tensor, " t"], intensity: Float[Tensor, " t"]
    ) -> tuple[Float[Tensor, "t 257"], Float[Tensor, "t 3"]]:
        rows, places = super().next(expression, energy, intensity)
        self.driven.append(rows[:, EXPRESSION].clone())
        return rows, places


def spoken(
    talker: Talker, portrait: Portrait, audio: Path, emotion: str
) -> tuple[list[UInt8[np.ndarray, "h w 3"]], Float[np.ndarray, " t"]]:
    """Frames, and the driven opening of the jaw in each."""
    cues, pipeline = parse_schedule(emotion), talker.pipeline
    tracks = EmotionTrack(pipeline.encoder, cues, None), EmotionTrack(pipeline.hef_encoder, cues, None)
    head = read_pose("still", talker.face_model, 0, None)
    motion = RecordedMotion(portrait.reference, talker.face_model, Liveliness(head))
    speech = map(Speech.of, speech_pieces(audio, CHUNK, talker.feature))
    frames = list(perform(pipeline, Canvas(pipeline, portrait), motion, speech, tracks, CHUNK))
    return frames, torch.cat(motion.driven)[:, axes("jaw_open")].mean(1).numpy()


def sharpness(picture: UInt8[np.ndarray, "h w 3"], portrait: Portrait) -> float:
    """Variance of the Laplacian about the face."""
    square = portrait.square
    x, y, half = round(square.x), round(square.y), round(FACE * square.half)
    region = picture[max(y - half, 0) : y + half, max(x - half, 0) : x + half].astype(np.float64).mean(-1)
    return float(laplace(region).var())


def measure(
    portrait: Portrait, frames: Sequence[np.ndarray], jaw: np.ndarray, networks: RealFaceNetworks
) -> list[float]:
    """The table's values."""
    own = networks.look(portrait.picture)
    assert own is not None, f"{portrait.path}: MediaPipe finds no face"
    looks = [networks.look(frame) for frame in frames]
    found = [look for look in looks if look]
    seen = np.array([look is not None for look in looks])
    alike = float(np.mean([float(own[1] @ identity) for _, identity in found]))
    opened = [scores["jawOpen"] for scores, _ in found]
    sharp = np.mean([sharpness(frame, portrait) for frame in frames]) / sharpness(portrait.picture, portrait)
    return [alike, float(seen.mean()), float(spearmanr(opened, jaw[seen])[0]), float(sharp)]


def sheet(portrait: Portrait, films: Sequence[Sequence[np.ndarray]], path: Path) -> None:
    """The portrait and some frames of each video."""
    rows = []
    for frames in films:
        picked = [frames[i] for i in np.linspace(2, len(frames) - 1, SHOWN).round().astype(int)]
        rows.append(np.concatenate([portrait.picture, *picked], axis=1))
    image = Image.fromarray(np.concatenate(rows))
    image.thumbnail((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    image.save(path, quality=88)


def portraits(names: Sequence[str], talker: Talker, settings: VideoSettings) -> Iterator[tuple[str, Portrait]]:
    """Name and portrait of each image."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            path = write_astronaut(Path(folder)) if name == ASTRONAUT else Path(name)
            yield path.stem, talker.read(path, settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", help=f"portraits; `{ASTRONAUT}` is the demo's")
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=model_in_the_box())
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    talker = Talker.from_file(options.model)
    networks = RealFaceNetworks(LANDMARKER.find(options.weights).parent)
    settings = VideoSettings(Frame(crop=True, size=options.size), weights=options.weights)
    options.out.mkdir(parents=True, exist_ok=True)
    print("| portrait | emotion | SFace | found | jaw | sharpness |\n| --- | --- | --- | --- | --- | --- |")
    for name, portrait in portraits(options.pictures, talker, settings):
        films = []
        for emotion in EMOTIONS:
            frames, jaw = spoken(talker, portrait, options.audio, emotion)
            values = measure(portrait, frames, jaw, networks)
            print(f"| {name} | {emotion} | {' | '.join(f'{value:.2f}' for value in values)} |", flush=True)
            films.append(frames)
        sheet(portrait, films, options.out / f"{name}.jpg")
    networks.close()


if __name__ == "__main__":
    main()
