"""Checkpoint files of any content: read, or one line; nothing in them is executed."""

import io
import json
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from conventions.errors import UserError
from lightning_modules.training.checkpoints import read_checkpoint


class Executable:
    """Pickled so that loading it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_content_of_other_kinds_is_one_line(tmp_path: Path) -> None:
    file, trace = tmp_path / "last.ckpt", tmp_path / "trace"
    good = saved({"state_dict": {"a": torch.zeros(3)}})
    kinds = [b"", b"{}", json.dumps({"a": 1}).encode("utf-16"), pickle.dumps([1]), good[:100], good[:-30], saved([1])]
    for content in [*kinds, pickle.dumps(Executable(trace)), saved(Executable(trace)), saved({"a": Executable(trace)})]:
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"last\.ckpt") as error:
            read_checkpoint(file)
        assert "\n" not in str(error.value)
    assert not trace.exists()


@pytest.mark.parametrize("seed", range(100))
def test_damaged_bytes_are_read_or_one_line(tmp_path: Path, seed: int) -> None:
    file, dice = tmp_path / "last.ckpt", random.Random(seed)
    content = bytearray(saved({"state_dict": {"a": torch.zeros(3)}, "global_step": 3}))
    for _ in range(dice.randrange(1, 30)):
        content[dice.randrange(len(content))] = dice.randrange(256)
    file.write_bytes(bytes(content))
    message = ""
    try:
        assert isinstance(read_checkpoint(file), dict)
    except UserError as error:
        message = str(error)
    assert "\n" not in message
