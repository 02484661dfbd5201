"""Files of published networks: given by path, checked by SHA-256, never fetched in silence."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from conventions.errors import UserError
from conventions.files import sha256_of


@dataclass(frozen=True)
class WeightFile:
    """One published file: its name, where its makers give it, and the first digits of its SHA-256 if known."""

    name: str
    source: str
    sha256: str | None = None

    def checked(self, path: Path) -> Path:
        """`path` if it is there and is the published file; otherwise one line that says where to get it."""
        if not path.is_file():
            raise UserError(f"{path}: no such file; get {self.name} from {self.source}")
        if self.sha256 and not (found := sha256_of(path)).startswith(self.sha256):
            raise UserError(
                f"{path}: SHA-256 is {found[:16]}, expected {self.sha256[:16]}; get {self.name} from {self.source}"
            )
        return path

    def state_dict(self, path: Path) -> dict[str, Any]:
        """The tensors of a checked PyTorch file; nothing else is unpickled."""
        try:
            state = torch.load(self.checked(path), map_location="cpu", weights_only=True)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"{path}: no plain PyTorch tensors ({type(error).__name__}); get {self.name} from {self.source}"
            ) from error
        if not isinstance(state, dict):
            raise UserError(f"{path}: holds a {type(state).__name__}, expected a state dict of {self.name}")
        return state


def load_strictly(module: torch.nn.Module, state: dict[str, Any], path: Path) -> None:
    """Load `state`; a missing, surplus or misshapen tensor is one line that names it.

    Batch norm's counters of training batches may be absent: files of PyTorch before 0.4.1, such as `syncnet_v2.model`,
    have none, and nothing that is measured depends on them.
    """
    expected = module.state_dict()
    counters = {key: torch.zeros_like(value) for key, value in expected.items() if key.endswith(".num_batches_tracked")}
    state = counters | state
    for key in sorted(expected.keys() | state.keys()):
        if key not in state or key not in expected:
            raise UserError(
                f"{path}: tensor {key!r} is {'missing' if key in expected else 'unknown'} for {type(module).__name__}"
            )
        if expected[key].shape != state[key].shape:
            shapes = f"{tuple(state[key].shape)}, expected {tuple(expected[key].shape)}"
            raise UserError(f"{path}: tensor {key!r} has shape {shapes}")
    module.load_state_dict(state)
