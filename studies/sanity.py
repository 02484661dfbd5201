"""Do the metrics move the right way? Clips against themselves, blurred, shifted, another speaker, another emotion.

python -m studies.sanity DATA --weights WEIGHTS [--frames 16] [--clips 4]
    published networks on real files: DATA holds `talking/` (one speaker a clip) and `mead_styles/` (one actor, one
    emotion a clip), all of one frame size
python -m studies.sanity STORE --judges PRESET [--runs runs] [--frames 40] [--clips 4]
    the substitute networks of a preset's finished runs on the clips of a store; run it where `emospace run` was

Prints a Markdown table of means over clips and every metric that moves the wrong way; exit 1 where a metric that is
perfect for the clip itself is not worse for an altered one, does not fall with the strength of the change, or where
Sync's offset does not follow a shift of the audio. Faces of files are cut as `emospace score` cuts them; a store's
frames are crops already. The first frame is the source and is not scored.
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from ablations.registry import compose_variant
from conventions.rates import SAMPLES_PER_FRAME
from datamodules.audio import read_audio
from datamodules.crop import cut
from datamodules.store import INT16_MAX, Store, StoredClip
from datamodules.video import read_video
from datamodules.video_writer import write_video
from emospace.scoring.clips import SIDE, crop_window
from emospace.scoring.media import Still
from emospace.scoring.tracking import Track, Tracked
from experiments.graph import FULL, plan
from experiments.networks import Networks
from lightning_modules.standins.judges.module import JudgesModule
from metrics.face_clip import FaceClip
from metrics.functional.sync import MAX_SHIFT
from metrics.networks import load_networks
from metrics.protocol import HIGHER_IS_BETTER, METRIC_NAMES, protocol_name
from metrics.suite import Suite

BLURS = (1, 2, 4)
SHIFTS = (1, 2, 4)
MORE = max(SHIFTS)
"""Frames that the largest shift needs beyond those that are scored."""

PERFECT = ("EFD", "LMD", "LMD_face", "CSIM", "FID", "PSNR", "SSIM", "LPIPS", "FVD", "EFID")
"""Metrics that compare with the true frame alone, so that nothing can be better than the clip itself."""

Scores = dict[str, float]
Differs = Literal["speaker", "emotion"]


@dataclass(frozen=True)
class Material:
    """A clip and a worse one: frames uint8 [t, 3, h, w], the clip's audio, and in what the other clip differs."""

    name: str
    frames: Tensor
    sound: Tensor
    other: Tensor
    differs: Differs


def of_files(data: Path, frames: int, clips: int) -> Iterator[Material]:
    """Videos with the audio beside them."""
    folders: dict[str, Differs] = {"talking": "speaker", "mead_styles": "emotion"}
    for group, differs in folders.items():
        paths = sorted((data / group).glob("*.mp4"))[:clips]
        pictures = [torch.from_numpy(read_video(path, frames + MORE)).permute(0, 3, 1, 2) for path in paths]
        for index, path in enumerate(paths):
            wav = path.with_suffix(".wav")
            sound = torch.from_numpy(read_audio(wav)) if wav.is_file() else torch.zeros(0)
            yield Material(path.name, pictures[index], sound, pictures[(index + 1) % len(paths)], differs)


def of_store(store: Store, frames: int, clips: int) -> Iterator[Material]:
    """Clips, each beside one of the same emotion by another speaker, or of another emotion by the same one."""
    long = [clip for clip in store.clips if clip.length >= frames + MORE]

    def frames_of(clip: StoredClip) -> Tensor:
        return torch.from_numpy(store.frames(clip, range(frames + MORE))).permute(0, 3, 1, 2)

    def found(differs: Differs) -> Iterator[Material]:
        for clip in long[:: max(1, len(long) // (2 * clips))]:
            others = [
                c
                for c in long
                if (c.actor != clip.actor) == (differs == "speaker")
                and (c.emotion != clip.emotion) == (differs == "emotion")
            ]
            if others:
                sound = store.audio[clip.rows].reshape(-1) / INT16_MAX if clip.has_audio else np.zeros(0)
                yield Material(clip.id, frames_of(clip), torch.from_numpy(sound).float(), frames_of(others[0]), differs)

    for differs in ("speaker", "emotion"):
        yield from itertools.islice(found(differs), clips)


def changes(material: Material, frames: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Names, frames and audio of everything a clip is compared with."""
    clip, sound, length = material.frames, material.sound, frames * SAMPLES_PER_FRAME
    yield "itself", clip[:frames], sound[:length]
    yield "re-encoded, H.264 crf 18", re_encoded(clip[:frames]), sound[:length]
    for sigma in BLURS:
        soft = gaussian_blur(clip[:frames], [6 * sigma + 1] * 2, [float(sigma)] * 2)
        yield f"blurred, sigma in px: {sigma}", soft, sound[:length]
    for shift in SHIFTS:
        yield f"early, frames: {shift}", clip[shift : shift + frames], sound[:length]
    for shift in SHIFTS:
        begin = shift * SAMPLES_PER_FRAME
        yield f"sound early, frames: {shift}", clip[:frames], sound[begin : begin + length]
    yield f"another {material.differs}", material.other[:frames], sound[:length]


def re_encoded(frames: Tensor) -> Tensor:
    """Frames through the codec of the project's own videos: what encoding alone costs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_video(path, frames.permute(0, 2, 3, 1).numpy())
        return torch.from_numpy(read_video(path)[: len(frames)]).permute(0, 3, 1, 2)


def cut_alike(suite: Suite, true: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """Both clips cut by the face of the true one, as `emospace score` does; unchanged under stand-ins."""
    network = suite.networks.landmarks
    if network is None or network.stand_in:
        return true, made
    track = Track(network)
    for frame in true:
        track.add(Still(frame.permute(1, 2, 0).numpy()))
    window = crop_window(Tracked(track, track, (len(true), len(true))))
    if window is None:
        sys.exit("a clip has no face")
    pixels = ([cut(frame.permute(1, 2, 0).numpy(), window, SIDE) for frame in clip] for clip in (true, made))
    first, second = (torch.from_numpy(np.stack(clip)).permute(0, 3, 1, 2) for clip in pixels)
    return first, second


def measure(
    suite: Suite, materials: Iterator[Material], frames: int
) -> tuple[dict[str, Scores], dict[str, list[Scores]]]:
    """Means and clips' rows by change."""
    suites, rows = dict[str, Suite](), dict[str, list[Scores]]()
    for material in materials:
        true = material.frames[:frames]
        for name, made, sound in changes(material, frames):
            one = suites.setdefault(name, suite.fresh())
            crop, made_crop = cut_alike(suite, true, made)
            clip = FaceClip.from_store(crop, None, sound, crop[:1], source_index=0).with_generated(made_crop)
            row = one.score(clip)["per_clip"]
            rows.setdefault(name, []).append({m: v for m, v in row.items() if not isinstance(v, str)})
        print(f"{material.name} done", file=sys.stderr)
    return {name: one.aggregate(rows[name]) for name, one in suites.items()}, rows


def wrong_ways(means: dict[str, Scores]) -> list[str]:
    """Every change that a metric does not call worse than the clip itself, or than a weaker change of its kind."""
    found = []
    weaker = {f"blurred, sigma in px: {b}": f"blurred, sigma in px: {a}" for a, b in itertools.pairwise(BLURS)}
    weaker |= {f"early, frames: {b}": f"early, frames: {a}" for a, b in itertools.pairwise(SHIFTS)}
    for name in [name for name in list(means)[1:] if "sound" not in name]:
        before = weaker.get(name, "itself")
        for metric in PERFECT:
            rise = means[name][metric] - means[before][metric]
            if rise == rise and (rise >= 0 if HIGHER_IS_BETTER[metric] else rise <= 0):
                found.append(f"{metric}: {name} is not worse than {before}")
    return found


def offsets_moved(rows: dict[str, list[Scores]]) -> tuple[int, int]:
    """How many of the clips' Sync offsets moved by just the frames that the audio was shifted, and of how many.

    Only shifts that stay within Sync's search count.
    """
    moved = [
        row["SyncOffset"] - before["SyncOffset"] == shift
        for shift in SHIFTS
        for before, row in zip(rows["itself"], rows[f"sound early, frames: {shift}"], strict=True)
        if abs(before["SyncOffset"] + shift) <= MAX_SHIFT
    ]
    return sum(moved), len(moved)


def table(means: dict[str, Scores], rows: dict[str, list[Scores]]) -> str:
    """Means over clips."""
    shown = [name for name in METRIC_NAMES if any(row[name] == row[name] for row in means.values())]
    lines = [f"| {protocol_name()} | clips | {' | '.join(shown)} |", f"|{' --- |' * (len(shown) + 2)}"]
    for name, row in means.items():
        cells = [f"{row[metric]:.3f}" for metric in shown]
        lines.append(f"| {name} | {len(rows[name])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def judges(preset: str, runs: Path) -> Suite:
    """The substitute networks of a preset's finished runs."""
    experiment = compose_variant(preset, FULL)
    planned = plan(experiment)
    [run] = [run for run in planned if run.stage == "judges"]
    return Networks(runs).typed(run, JudgesModule).suite()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--judges", metavar="PRESET")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--clips", type=int, default=4, help="of each kind; at least 2")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.judges:
        suite = judges(options.judges, options.runs)
        materials = of_store(Store(options.data), options.frames, options.clips)
    else:
        networks = load_networks("published", options.weights, complete=False)
        suite = Suite(networks)
        print(f"without a network: {', '.join(networks.missing) or 'none'}", file=sys.stderr)
        materials = of_files(options.data, options.frames, options.clips)
    means, rows = measure(suite, materials, options.frames)
    if not rows:
        sys.exit(f"{options.data}: holds no clips of {options.frames + MORE} frames with another to compare them with")
    print(table(means, rows))
    wrong, (moved, of) = wrong_ways(means), offsets_moved(rows)
    wrong += [f"SyncOffset: follows the sound in {moved} of {of} shifts"] if moved < of else []
    line = f"Every metric moves the right way; Sync's offset follows {moved} of {of} shifts of the sound."
    print("\n".join(wrong) or line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
