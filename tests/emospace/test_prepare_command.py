"""`emospace prepare`: its progress for a reader and for a program."""

import json

import pytest

from datamodules.prepare_report import Done
from emospace.commands.prepare import _shown

HALF = Done(clips=2, total=4, frames=200, seconds=8.0, stage_seconds={"fit": 3.0, "crop": 1.0})


def test_progress_for_a_program_is_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    _shown(as_json=True)(HALF)
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert (found["clips"], found["total"], found["seconds_left"]) == (2, 4, 8.0)
    assert (found["clips_per_second"], found["frames_per_second"]) == (0.25, 25.0)


def test_progress_for_a_reader_has_rates_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    _shown(as_json=False)(HALF)
    assert "0.25 clips/s, 25 frames/s, 8 s left; fit 75 %, crop 25 %" in capsys.readouterr().err
