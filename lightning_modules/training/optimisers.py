"""Optimisers and learning-rate schedules by a few numbers, and the check that they share out all parameters."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

Schedule = Literal["constant", "cosine"]


def make_optimizer(
    modules: Iterable[nn.Module],
    *,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adam over the trainable parameters of `modules`; AdamW when `weight_decay` > 0, decaying only matrices."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    if weight_decay == 0:
        return Adam(parameters, lr=learning_rate, betas=betas)
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]], lr=learning_rate, betas=betas)


def learning_rate_factor(step: int, *, kind: Schedule, warmup: int, steps: int, floor: float = 0.0) -> float:
    """Factor on the learning rate at batch `step`: linear rise over `warmup`, then constant or cosine to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    if kind == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2


def make_schedule(
    optimizer: Optimizer, *, kind: Schedule = "constant", warmup: int = 0, steps: int, floor: float = 0.0
) -> LambdaLR:
    """The schedule of `learning_rate_factor` as a torch scheduler, stepped once a batch."""
    return LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, kind=kind, warmup=warmup, steps=steps, floor=floor)
    )


def check_partition(module: nn.Module, optimizers: Sequence[Optimizer]) -> None:
    """Assert that every trainable parameter of `module` is in exactly one optimiser, and nothing else is in any."""
    held = [id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    assert len(held) == len(set(held)), "a parameter is in two optimisers"
    for name, parameter in module.named_parameters():
        in_one = id(parameter) in held
        assert in_one == parameter.requires_grad, (
            f"{name} is {'frozen but' if in_one else 'trainable but not'} in an optimiser"
        )
