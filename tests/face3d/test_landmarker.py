"""MediaPipe's landmarker beside the rest: what its own file needs is tested with the real weights."""

import subprocess
import sys
from pathlib import Path

import pytest

from conventions.errors import UserError
from conventions.weights import LANDMARKER
from face3d.landmarker import IBUG, Landmarker

_AFTER_A_FIT = """
import sys
import numpy as np
from pathlib import Path
from face3d.landmarker import Landmarker
from pytorch_lightning import Trainer
from pytorch_lightning.demos.boring_classes import BoringModel

picture = np.random.default_rng(0).integers(0, 255, (512, 512, 3), dtype=np.uint8)
with Landmarker(Path(sys.argv[1])) as landmarker:
    landmarker.detect(picture)
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    Trainer(fast_dev_run=True, accelerator="cpu", **quiet).fit(BoringModel())
    for _ in range(200):
        landmarker.detect(picture)
print("alive")
"""

_WHAT_IT_LOGS = """
import sys
import numpy as np
from pathlib import Path
from face3d.landmarker import Landmarker

with Landmarker(Path(sys.argv[1])) as landmarker:
    print("after", file=sys.stderr)
    landmarker.detect(np.zeros((64, 64, 3), np.uint8))
"""


def test_every_landmark_has_a_mesh_point_of_its_own() -> None:
    assert len(IBUG) == len(set(IBUG)) == 68
    assert max(IBUG) < 478


def test_a_file_that_is_no_landmarker_is_refused(tmp_path: Path) -> None:
    (tmp_path / LANDMARKER.name).write_bytes(b"not a model")
    with pytest.raises(UserError, match=LANDMARKER.name):
        Landmarker(tmp_path / LANDMARKER.name)


@pytest.mark.real
def test_the_landmarker_outlives_a_fit_of_lightning(real_weights: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", _AFTER_A_FIT, str(real_weights / LANDMARKER.name)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-500:])
    assert "alive" in done.stdout


@pytest.mark.real
def test_mediapipe_logs_nothing_and_other_lines_on_stderr_stay(real_weights: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", _WHAT_IT_LOGS, str(real_weights / LANDMARKER.name)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stderr == "after\n"
