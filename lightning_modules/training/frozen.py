"""Frozen parts of a network: on its device, in eval mode, never trained, and no part of its state dict."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from lightning_modules.training.checkpoints import check_state


class FrozenParts(nn.Module):
    """Mixin of a module that holds frozen networks; a subclass that overrides these methods calls its parent's."""

    frozen: tuple[str, ...] = ()
    """Names of the attributes that `add_frozen` set."""

    def add_frozen(self, name: str, module: nn.Module | None) -> None:
        """Hold a network as attribute `name`: on this module's device, in eval mode, untrained, not saved."""
        if module is not None:
            module.requires_grad_(False).eval()
        self.add_module(name, module)
        self.frozen = (*self.frozen, name)

    def train(self, mode: bool = True) -> Any:
        """As nn.Module.train, except that frozen parts stay in eval mode."""
        super().train(mode)
        for name in self.frozen:
            if (module := getattr(self, name)) is not None:
                module.eval()
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The module's own weights: frozen parts are left out."""
        state = super().state_dict(*args, **kwargs)
        prefix = kwargs.get("prefix", "")
        frozen = tuple(f"{prefix}{name}." for name in self.frozen)
        for key in [key for key in state if key.startswith(frozen)]:
            del state[key]
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the module's own weights; a missing, surplus or misshapen key is one UserError line."""
        check_state(self.state_dict(), state_dict, f"checkpoint of {type(self).__name__}")
        return super().load_state_dict(state_dict, strict=False, assign=assign)
