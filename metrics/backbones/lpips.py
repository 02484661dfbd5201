"""LPIPS (Zhang et al. 2018) of its own package, on AlexNet weights from torchvision's file."""

import warnings
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from conventions.errors import UserError
from conventions.weights import ALEXNET, WeightFile

BATCH = 32


class AlexLPIPS:
    """LPIPS version 0.1 over AlexNet; its linear weights come with the package."""

    name = "LPIPS 0.1 (AlexNet)"
    stand_in = False
    file: ClassVar[WeightFile] = ALEXNET

    def __init__(self, path: Path) -> None:
        self.network = empty_lpips()
        load_alexnet(self.network.net, ALEXNET.state_dict(path), path)

    def distance(self, generated: Float[Tensor, "t 3 h w"], true: Float[Tensor, "t 3 h w"]) -> Float[Tensor, " t"]:
        """LPIPS of each frame; frames in [-1, 1]."""
        self.network.to(generated.device)
        pairs = zip(generated.split(BATCH), true.split(BATCH), strict=True)
        return torch.cat([self.network(*pair).reshape(-1) for pair in pairs])


def empty_lpips() -> Any:
    """The package's network with its own linear weights and a random AlexNet: nothing is fetched."""
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    return network.eval().requires_grad_(False)


def load_alexnet(slices: torch.nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Fill the package's slices, which keep the layer numbers of torchvision's `features`."""
    for name, parameter in slices.named_parameters():
        key = "features." + name.split(".", 1)[1]
        if key not in state or state[key].shape != parameter.shape:
            raise UserError(
                f"{path}: tensor {key!r} of shape {tuple(parameter.shape)} is missing: not AlexNet's weights"
            )
        parameter.data.copy_(state[key])
