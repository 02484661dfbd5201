"""Reading checkpoints and loading weights, with one clear line when file and network do not belong together."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from conventions.errors import UserError, nearest


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The dictionary in a checkpoint file, tensors on the CPU; only plain data is unpickled (weights_only)."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: not a readable checkpoint ({reason})") from error
    if not isinstance(checkpoint, dict):
        raise UserError(f"{path}: holds a {type(checkpoint).__name__}, expected the dictionary of a checkpoint")
    return checkpoint


def check_state(expected: Mapping[str, Tensor], state: Mapping[str, Tensor], origin: str) -> None:
    """UserError naming the first key of `state` that is missing, too much or of another shape than `expected`."""
    for key, tensor in expected.items():
        if key not in state:
            raise UserError(f"{origin}: weight {key!r} is missing; the network of this configuration needs it")
        if state[key].shape != tensor.shape:
            found, wanted = list(state[key].shape), list(tensor.shape)
            raise UserError(
                f"{origin}: weight {key!r} has shape {found}, the network of this configuration needs {wanted}"
            )
    for key in state:
        if key not in expected:
            raise UserError(f"{origin}: weight {key!r} does not belong to this network{nearest(key, expected)}")


def load_state(module: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Load weights into `module` after `check_state`; `origin` (a path) opens the error line.

    A stage's weights of an earlier format are converted by its `upgrade_state` first.
    """
    if (upgrade := getattr(module, "upgrade_state", None)) is not None:
        state = upgrade(state)
    check_state(module.state_dict(), state, origin)
    module.load_state_dict(dict(state))
