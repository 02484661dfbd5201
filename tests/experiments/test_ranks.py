"""Further ranks of a training: what happens when one cannot begin."""

import os
from pathlib import Path

import pytest

from experiments.ranks import other_ranks
from experiments.rundir import RunFolder


def test_one_process_needs_no_others(tmp_path: Path) -> None:
    with other_ranks(RunFolder(tmp_path / "nowhere"), 1):
        assert "LOCAL_RANK" not in os.environ


@pytest.mark.slow
def test_a_rank_that_cannot_begin_is_named_with_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match=r"rank 1 did not begin.*see .*rank1\.log"),
        other_ranks(RunFolder(tmp_path), 2),
    ):
        pytest.fail("the training began without its second process")
    assert "no run is here" in (tmp_path / "rank1.log").read_text()
    assert "LOCAL_RANK" not in os.environ
