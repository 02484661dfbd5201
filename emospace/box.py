"""`make model`: trains and writes the model in the box. Killed at any moment, the next call goes on.

AME and EAC are those of the preset `toy`; HEF is trained at 128 px on the toy world and, where clips of VoxCeleb2 are
given, on these (`experiments/configs/model.yaml`). The file's card holds data, attribution, licence and command.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablations.registry import compose_variant
from conventions.errors import UserError
from datamodules.merging import merge
from datamodules.prepare import prepare
from datamodules.store import Store
from emospace.talker import BOX
from emospace.talking.from_run import parts_of
from emospace.talking.model_file import ModelParts, write_model
from experiments.graph import FULL
from experiments.rundir import RunFolder
from experiments.runner import execute
from experiments.world import ready_data

EXPERIMENT = "model"
COMMAND = "make model"
FACES = "vox_*.mp4"
"""Names of the clips that are taken: only those of VoxCeleb2, whose licence allows it."""
VOXCELEB2 = (
    "VoxCeleb2 (J. S. Chung, A. Nagrani, A. Zisserman: VoxCeleb2: Deep Speaker Recognition, INTERSPEECH 2018; "
    "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/), CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/), "
    "cropped to faces and altered in colour, sharpness and background for training"
)


def make_model(work: Path, runs: Path, faces: Path | None, out: Path, overrides: Sequence[str] = ()) -> int:
    """Train what is missing and write the model file; an exit code."""
    experiment = compose_variant(EXPERIMENT, FULL, None, overrides, "eac")
    ready_data(experiment)
    clips = sorted(faces.glob(FACES)) if faces else []
    if faces and not clips:
        raise UserError(f"--faces {faces}: contains no {FACES}; leave it out to train on the toy world alone")
    words = [*overrides]
    if clips:
        words.append(_with_faces(work, Store(experiment.config.data.store), clips))
    made = dict[str, RunFolder]()
    for target in ("eac", "hef"):
        result = execute(compose_variant(EXPERIMENT, FULL, None, words, target), runs)
        if result.exit_code:
            return result.exit_code
        made[target] = RunFolder(runs / result.target)
    parts = parts_of(made["hef"], made["eac"])
    write_model(out, dataclasses.replace(parts, card=card(parts, [clip.stem for clip in clips])), half=True)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    return 0


def _with_faces(work: Path, toy: Store, clips: Sequence[Path]) -> str:
    """Make HEF's store of the toy world and the clips; the override that names it."""
    folder, store = work / "model-faces", work / "model-store"
    folder.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        if not (link := folder / clip.name).is_symlink():
            link.symlink_to(clip.resolve())
    prepare(folder, work / "model-faces-store", coefficients="landmarks", size=toy.size, workers=2, naming="plain")
    merge(store, [toy.path, work / "model-faces-store"])
    return f"hef.data.store={store}"


def card(parts: ModelParts, clips: Sequence[str]) -> dict[str, Any]:
    """The card of a run, with what HEF was trained on and under which terms the file may be used."""
    faces = f" and {len(clips)} clips of VoxCeleb2" if clips else ""
    own = parts.configs["hef"]["data"]
    return {
        **parts.card,
        "data": parts.card["data"] | ({"path": Path(own["store"]).name} if own["store"] else {}),
        "split": own["split"] or parts.card["split"],
        "command": COMMAND,
        "stand_ins": [
            "emotion space and expressions trained on the toy world (synthetic), not on MEAD",
            f"HEF trained on the toy world{faces}, not on MEAD",
            "emotion space from a tiny CLIP stand-in, not from CLIP",
        ],
        "training_clips": list(clips),
        "attribution": [VOXCELEB2] if clips else [],
        "licences": ["weights: MIT", "toy world: MIT", *(["VoxCeleb2: CC BY 4.0"] if clips else [])],
    }


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of the stores (default work)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs (default runs)")
    parser.add_argument("--faces", type=Path, help=f"folder of VoxCeleb2 clips, {FACES}; by default none")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="other numbers than those of the experiment")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "models" / BOX)
    options = parser.parse_args()
    try:
        return make_model(options.work, options.runs, options.faces, options.out, options.overrides)
    except UserError as error:
        print(f"make model: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
