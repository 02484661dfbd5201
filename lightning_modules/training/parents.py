"""Frozen parts of a network: on its device, in eval mode, never trained, no part of its state dict; and their recipes.

A checkpoint carries its frozen parents as plain data and tensors that build a network again, without pickled code. A
class takes part by two methods: `recipe()` gives plain data and tensors, `rebuild(recipe)` (a classmethod) makes what
its child was built on. The renderer is named by face model, size and file.
"""

import sys
from collections.abc import Mapping
from typing import Any

from torch import nn

from conventions.errors import UserError
from conventions.registry import Registry
from face3d.morphable import load_model
from face3d.renderer import Renderer
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


Recipe = dict[str, Any]
"""Plain data and tensors; `class` is the import path of the class that rebuilds it."""

PARENTS = Registry("class of a frozen parent", "parents", {})
OWN = ("lightning_modules", "metrics", "face3d")
"""Packages that a checkpoint may import."""


def describe(part: Any) -> Recipe:
    """The recipe of a frozen parent; of a class that has none, its name alone."""
    path = f"{type(part).__module__}:{type(part).__qualname__}"
    if isinstance(part, Renderer):
        model = part.model
        return {"class": path, "face_model": model.name, "size": part.size, "path": model.path}
    return {"class": path, "recipe": part.recipe()} if hasattr(part, "recipe") else {"class": path}


def rebuild(name: str, recipe: Mapping[str, Any]) -> Any:
    """What `recipe` describes; UserError that names the argument to give where it cannot be built again."""
    if "face_model" in recipe:
        try:
            return Renderer(load_model(recipe["face_model"], recipe["path"]), recipe["size"])
        except UserError as error:
            raise UserError(f"the checkpoint cannot rebuild {name}: {error}; give {name}=") from error
    module = str(recipe["class"]).partition(":")[0]
    if module.partition(".")[0] not in OWN and module not in sys.modules:
        raise UserError(
            f"the checkpoint cannot rebuild {name}: it cannot import {module!r}, which is outside this package; "
            f"import it first, or give {name}="
        )
    kind = PARENTS.load(recipe["class"]) if "recipe" in recipe else None
    if not hasattr(kind, "rebuild"):
        raise UserError(
            f"the checkpoint cannot rebuild {name}: {recipe['class']} has no recipe() and rebuild(); give {name}="
        )
    return kind.rebuild(recipe["recipe"])  # pyright: ignore[reportOptionalMemberAccess]
