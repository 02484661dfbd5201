"""All that talking needs in one file: configs and weights of AME, EAC and HEF as safetensors, nothing executable.

The weights are named `MODULE/KEY`; the header's `emospace` entry is a JSON text with the format's number, the name of
the face model, the modules' configs, and a card: data, split, stand-ins, metrics, licences and hashes.
"""

import dataclasses
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from conventions.errors import UserError, nearest
from conventions.files import regular_file, write_bytes
from experiments.compose import deep_merge
from experiments.readback import FORMER
from face3d.morphable import load_model
from face3d.renderer import Renderer
from lightning_modules.ame.config import STANDIN, AMEConfig
from lightning_modules.ame.emotion import EmotionEncoder
from lightning_modules.ame.module import AMEModule
from lightning_modules.ame.towers import ClipParts, GPT2Parts
from lightning_modules.eac.config import EACConfig, EACWeights
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.config import HEFConfig
from lightning_modules.hef.module import HEFModule
from lightning_modules.pipeline import Pipeline
from lightning_modules.standins.config import ClipPriorConfig, GPT2PriorConfig
from lightning_modules.standins.priors.clip import ClipPrior
from lightning_modules.standins.priors.gpt2 import GPT2Prior
from lightning_modules.training.checkpoints import check_state

FORMAT = 1
"""Number of this layout; a file of another one is refused."""

SUFFIX = ".emospace"

C = TypeVar("C")
State = Mapping[str, Tensor]

MODULES = {
    "clip": ClipPriorConfig,
    "gpt2": GPT2PriorConfig,
    "ame": AMEConfig,
    "hef_clip": ClipPriorConfig,
    "hef_gpt2": GPT2PriorConfig,
    "hef_ame": AMEConfig,
    "eac": EACConfig,
    "hef": HEFConfig,
}
"""Name of each module that a file may hold, and the type of its config.

`clip` and `gpt2` are stand-ins under `ame`, which conditions EAC; `hef_ame` is HEF's where it has its own.
"""

HEF_WEIGHTS = "average.network."
"""Prefix of the averaged generator in HEF's state: all of it that a file holds."""


@dataclass(frozen=True)
class ModelParts:
    """What a model file holds, as plain data."""

    face_model: str
    configs: Mapping[str, Mapping[str, Any]]
    """Config of each module as a dictionary; see `MODULES`."""
    states: Mapping[str, State]
    """Weights of each module, of HEF the averaged generator's alone."""
    card: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TalkingModel:
    """Networks that can talk, and what is known of them."""

    pipeline: Pipeline
    origin: str
    """The run or the file that they came from."""
    card: Mapping[str, Any]

    @property
    def stand_ins(self) -> list[str]:
        """Why the images say nothing about the paper's quality; empty for weights trained on real data."""
        return list(self.card.get("stand_ins", []))


def write_model(path: Path, parts: ModelParts, half: bool = False) -> None:
    """Write a model file, whole or not at all; `half` stores floats in half precision."""
    tensors = {
        f"{module}/{key}": _stored(tensor, half)
        for module, state in parts.states.items()
        for key, tensor in state.items()
    }
    about = {"format": FORMAT, "face_model": parts.face_model, "configs": parts.configs, "card": parts.card}
    write_bytes(path, safetensors.torch.save(tensors, {"emospace": json.dumps(about, ensure_ascii=False)}))


def _stored(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous().clone()  # tied weights are stored twice
    return tensor.half() if half and tensor.dtype == torch.float32 else tensor


def read_model(path: Path) -> ModelParts:
    """The parts of a model file; UserError where it is no such file, cut, or of another format."""
    regular_file(path, "model file")
    try:
        with safe_open(str(path), "pt") as file:
            about = json.loads((file.metadata() or {})["emospace"])
            states: dict[str, dict[str, Tensor]] = {}
            for name in file.keys():  # noqa: SIM118 (no mapping)
                module, _, key = name.partition("/")
                tensor = file.get_tensor(name)
                states.setdefault(module, {})[key] = tensor.float() if tensor.dtype == torch.float16 else tensor
        if about["format"] != FORMAT:
            raise UserError(f"{path}: is of format {about['format']}; this emospace reads format {FORMAT}")
        return ModelParts(about["face_model"], about["configs"], states, about["card"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: is not a model file of emospace ({reason}); `emospace export` writes one") from error


def build(parts: ModelParts, origin: str, face_model_file: Path | None = None) -> TalkingModel:
    """The networks of the parts, ready to talk, on the CPU; `face_model_file` where the face model needs one."""
    for name in (*parts.configs, *parts.states):
        if name not in MODULES:
            raise UserError(f"{origin}: has an unknown module {name!r}{nearest(name, MODULES)}")
    whole = {name: deep_merge(FORMER.get(name.removeprefix("hef_"), {}), own) for name, own in parts.configs.items()}
    configs = {name: from_dict(MODULES[name], config, f"{origin}: {name}") for name, config in whole.items()}
    for name in ("ame", "eac", "hef"):
        if name not in configs:
            raise UserError(f"{origin}: lacks the module {name!r}")
    load = _Loader(configs, parts.states, origin)
    renderer = Renderer(load_model(parts.face_model, face_model_file), configs["hef"].resolution)
    encoder = load.encoder("")
    hef_encoder = load.encoder("hef_") if "hef_ame" in configs else encoder
    pipeline = Pipeline(encoder, load.eac(encoder), load.hef(hef_encoder, renderer), hef_encoder)
    return TalkingModel(pipeline, origin, parts.card)


@dataclass(frozen=True)
class _Loader:
    """Modules built from configs and filled with weights."""

    configs: Mapping[str, Any]
    states: Mapping[str, State]
    origin: str

    def encoder(self, prefix: str) -> EmotionEncoder:
        config = self.configs[f"{prefix}ame"]
        module = AMEModule(config, self._clip(config, prefix), self._gpt2(prefix))
        return self._filled(module, f"{prefix}ame").encoder

    def _clip(self, config: AMEConfig, prefix: str) -> ClipParts | None:
        """The stand-in; a public CLIP is loaded by `build_space` from the place that its config names."""
        if config.text.clip_model != STANDIN or f"{prefix}clip" not in self.configs:
            return None
        return self._filled(ClipPrior(self.configs[f"{prefix}clip"]), f"{prefix}clip").parts()

    def _gpt2(self, prefix: str) -> GPT2Parts | None:
        if f"{prefix}gpt2" not in self.configs:
            return None
        return self._filled(GPT2Prior(self.configs[f"{prefix}gpt2"]), f"{prefix}gpt2").parts()

    def eac(self, encoder: EmotionEncoder) -> EACModule:
        weights = dataclasses.replace(self.configs["eac"].weights, mouth=0.0, opening=0.0, emotion=0.0, sync=0.0)
        assert isinstance(weights, EACWeights)
        return self._filled(EACModule(dataclasses.replace(self.configs["eac"], weights=weights), encoder), "eac")

    def hef(self, encoder: EmotionEncoder, renderer: Renderer) -> HEFModule:
        weights = dataclasses.replace(self.configs["hef"].weights, sync=0.0)
        module = HEFModule(dataclasses.replace(self.configs["hef"], weights=weights), encoder, renderer)
        self._filled(module.average.network, "hef")
        return module.eval().requires_grad_(False)

    def _filled(self, module: Any, name: str) -> Any:
        assert isinstance(module, nn.Module)
        state, origin = self.states.get(name, {}), f"{self.origin}: {name}"
        check_state(module.state_dict(), state, origin)
        module.load_state_dict(dict(state))
        return module.eval().requires_grad_(False)


def from_dict(kind: type[C], values: Mapping[str, Any], origin: str) -> C:
    """A frozen config from plain data; UserError that names a key which the config does not have."""
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise UserError(f"{origin}: has an unknown setting {key!r}{nearest(key, hints)}")
    return kind(**{key: _value(hints[key], value, f"{origin}.{key}") for key, value in values.items()})


def _value(hint: Any, value: Any, origin: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_dict(hint, value, origin)
    return tuple(value) if isinstance(value, list) else value
