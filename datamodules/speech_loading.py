"""Speech features by name, and the pretrained encoders among them.

`data.speech` is `mfcc`, `mel`, `hf:NAME_OR_FOLDER[:layer]` (an encoder in the layout of Hugging Face), an import path
`module:Class`, or the name of an entry point of the group `emospace.speech_features`.

Encoders are Whisper's, and those of the raw waveform (wav2vec 2.0, HuBERT, WavLM); frozen, resampled to 25 frames a
second. Their attention spans all that they are given, so that audio is encoded block by block: the frames of a block
of 1 s come from a window that reaches back up to 28 s (encoders of the waveform: 9 s) and 1 s ahead. The blocks lie on
a grid from the beginning of the audio, so that the features of a stream are those of the whole recording.
"""

import functools
import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from conventions.errors import UserError
from conventions.files import reason_of, sha256_of
from conventions.rates import SAMPLE_RATE, SAMPLES_PER_FRAME, VIDEO_FPS
from conventions.registry import Registry
from conventions.weights import find_folder
from datamodules.config import HUGGING_FACE, SpeechForm, canonical, split_layer
from datamodules.speech_features import SpeechFeature

BLOCK = VIDEO_FPS
"""Video frames that one window gives."""
AHEAD = VIDEO_FPS
"""Video frames of a window after its block."""
WHISPER_BEHIND = 28 * VIDEO_FPS
"""Video frames of a window before its block: with the others, the 30 s for which Whisper is made."""
BEHIND = 9 * VIDEO_FPS
"""The same for encoders of the waveform, whose cost grows with the square of the window."""

GPU_BATCH = 32
"""Windows that a GPU encodes at a time; a CPU encodes one."""


class Timing(NamedTuple):
    """Where an encoder's outputs lie in its input: output i is centred on sample `first + i * step`."""

    first: float
    step: int


class Encoder(SpeechFeature):
    """Hidden states of an encoder, each frame the mean of those about its middle.

    Args:
        place: folder of the encoder (`config.json`, `preprocessor_config.json`, `model.safetensors`), its name in a
            folder of weights, or its name on the hub, which transformers looks for in its cache.
        layer: hidden state, 0 before the first layer; None: the encoder's output.
        name: the feature's name.
    """

    block = BLOCK
    look_ahead = BLOCK - 1 + AHEAD

    def __init__(self, place: str, layer: int | None, name: str) -> None:
        self.name, self._layer = name, layer
        folder = find_folder(place)
        self._model, self._extractor, self.digest = _open(folder or place)
        config = self._model.config
        self._is_whisper = config.model_type == "whisper"
        depth = config.encoder_layers if self._is_whisper else config.num_hidden_layers
        if layer is not None and not -depth - 1 <= layer <= depth:
            raise UserError(f"speech feature {name!r}: has layers 0 to {depth}, not {layer}")
        self.look_behind = WHISPER_BEHIND if self._is_whisper else BEHIND
        self.shape = (config.hidden_size,)
        self._timing = _timing(config)

    def __call__(self, waveform: Float[np.ndarray, " n"], num_frames: int) -> Float[np.ndarray, "t d"]:
        """Features of the first `num_frames` frames."""
        return self.since(waveform, num_frames, 0)

    def since(self, waveform: Float[np.ndarray, " n"], num_frames: int, first: int) -> Float[np.ndarray, "t d"]:
        """Rows `first` .. `num_frames`; blocks that end before `first` are not computed."""
        spans: dict[tuple[int, int], list[int]] = {}
        for start in range(first - first % BLOCK, num_frames, BLOCK):
            spans.setdefault(self._span(start, len(waveform)), []).append(start)
        batch = GPU_BATCH if self._model.device.type == "cuda" else 1
        rows, distinct = [np.zeros((0, *self.shape), np.float32)], list(spans)
        for begin in range(0, len(distinct), batch):
            part = distinct[begin : begin + batch]
            for span, states in zip(part, self._encode(waveform, part), strict=True):
                rows += [self._resampled(states, start - span[0]) for start in spans[span]]
        return np.concatenate(rows)[first % BLOCK :][: num_frames - first]

    def _span(self, start: int, samples: int) -> tuple[int, int]:
        """First and last frame of the window of the block that begins at the frame `start`.

        Whisper's windows are filled up with silence, so that those that reach beyond the end of the audio are equal.
        """
        assert self.look_behind is not None
        end = start + BLOCK + AHEAD
        if self._is_whisper:
            end = max(start + 1, min(end, math.ceil(samples / SAMPLES_PER_FRAME)))
        return max(0, start - self.look_behind), end

    def _encode(self, waveform: np.ndarray, spans: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Hidden states of windows."""
        windows = [_cut(waveform, begin * SAMPLES_PER_FRAME, end * SAMPLES_PER_FRAME) for begin, end in spans]
        groups = [windows] if self._is_whisper else [[window] for window in windows]
        return [states for group in groups for states in self._hidden(group)]

    @torch.no_grad()
    def _hidden(self, windows: list[np.ndarray]) -> Tensor:
        inputs = self._extractor(windows, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        values = inputs["input_features" if self._is_whisper else "input_values"].to(self._model.device)
        made = self._model(values, output_hidden_states=self._layer is not None)
        return made.last_hidden_state if self._layer is None else made.hidden_states[self._layer]

    def _resampled(self, states: Float[Tensor, "s d"], first: int) -> Float[np.ndarray, "t d"]:
        """The block that begins `first` frames into the window: weights fall linearly to 0 a frame from the middle."""
        middles = (torch.arange(first, first + BLOCK) + 0.5) * SAMPLES_PER_FRAME
        centres = self._timing.first + self._timing.step * torch.arange(len(states))
        weights = (1 - (middles[:, None] - centres).abs() / SAMPLES_PER_FRAME).clamp(min=0)
        weights = weights / weights.sum(dim=1, keepdim=True)
        return (weights.to(states) @ states).float().cpu().numpy()


@functools.lru_cache(maxsize=2)
def _open(place: Path | str) -> tuple[Any, Any, str]:
    """The encoder, frozen, its feature extractor, and the SHA-256 of its weights; on a GPU where there is one."""
    from transformers import AutoFeatureExtractor, AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    local = isinstance(place, Path) or os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
    try:
        extractor = AutoFeatureExtractor.from_pretrained(place, local_files_only=local)
        model = AutoModel.from_pretrained(place, local_files_only=local, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"speech feature hf:{place}: cannot be loaded ({reason_of(error)})") from error
    if model.config.model_type == "whisper":
        model = model.encoder
    elif not hasattr(model.config, "conv_stride"):
        kind = model.config.model_type
        raise UserError(f"speech feature hf:{place}: a model of type {kind!r} is neither Whisper nor wav2vec 2.0")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.eval().requires_grad_(False).to(device), extractor, _digest(place, model)


def _digest(place: Path | str, model: torch.nn.Module) -> str:
    """SHA-256 of the weights: of the file where there is one, of the tensors of a model from the hub."""
    if isinstance(place, Path) and (place / "model.safetensors").is_file():
        return sha256_of(place / "model.safetensors")
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _timing(config: Any) -> Timing:
    """Whisper's two outputs a frame lie on every second mel column; others' on their convolutions' receptive fields."""
    if config.model_type == "whisper":
        return Timing(0.0, 2 * SAMPLE_RATE // 100)
    field, step = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        field, step = field + (kernel - 1) * step, step * stride
    return Timing((field - 1) / 2, step)


def _cut(waveform: np.ndarray, begin: int, end: int) -> np.ndarray:
    """Samples `begin` .. `end`, zeros beyond the end."""
    taken = waveform[begin:end]
    return np.pad(taken, (0, end - begin - len(taken))).astype(np.float32)


FEATURES = Registry(
    "speech feature",
    "speech_features",
    {"mfcc": "datamodules.speech_features:MFCC", "mel": "datamodules.speech_features:Mel"},
)
"""Name -> class of a `SpeechFeature`, made without arguments."""


def load_feature(name: str) -> SpeechFeature:
    """The feature behind a name; UserError where it cannot be loaded or does not keep the contract."""
    if name.startswith(HUGGING_FACE):
        return Encoder(*split_layer(name), canonical(name))
    made = FEATURES.load(name)()
    for field in ("shape", "look_ahead"):
        if not hasattr(made, field):
            raise UserError(f"speech feature {name!r}: has no {field}; see datamodules.speech_features.SpeechFeature")
    if not isinstance(made, SpeechFeature):
        made = Adapted(made)
    made.name = name
    return made


def feature_of(form: SpeechForm) -> SpeechFeature:
    """The feature for which a network was built; UserError where what has its name today is another one."""
    feature = load_feature(form.name)
    if feature.shape != form.shape:
        raise UserError(f"speech feature {form.name!r}: has frames of {list(feature.shape)}, not {list(form.shape)}")
    if form.digest and feature.digest != form.digest:
        found, expected = feature.digest[:16], form.digest[:16]
        raise UserError(f"speech feature {form.name!r}: its weights have SHA-256 {found}, the network needs {expected}")
    return feature


class Adapted(SpeechFeature):
    """A feature of a class that is no `SpeechFeature`, with the defaults of what it does not state."""

    def __init__(self, inner: object) -> None:
        self._inner = inner
        for field in ("shape", "look_ahead", "look_behind", "block", "digest"):
            if hasattr(inner, field):
                setattr(self, field, getattr(inner, field))
        self.shape = tuple(self.shape)

    def __call__(self, waveform: Float[np.ndarray, " n"], num_frames: int) -> Float[np.ndarray, "t *shape"]:
        """What the class computes."""
        return self._inner(waveform, num_frames)  # pyright: ignore[reportCallIssue]
