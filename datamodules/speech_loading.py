"""Speech features by name.

`data.speech` is `mfcc`, `mel`, `hf:NAME_OR_FOLDER[:layer]` (an encoder in Hugging Face's layout), an import path
`module:Class`, or the name of an entry point of the group `emospace.speech_features`.
"""

import numpy as np
from jaxtyping import Float

from conventions.errors import UserError
from conventions.registry import Registry
from datamodules.speech_features import SpeechFeature
from datamodules.speech_names import HUGGING_FACE, SpeechForm, canonical, split_layer

FEATURES = Registry(
    "speech feature",
    "speech_features",
    {"mfcc": "datamodules.speech_features:MFCC", "mel": "datamodules.speech_features:Mel"},
)
"""Name -> class of a `SpeechFeature`, made without arguments."""


def load_feature(name: str) -> SpeechFeature:
    """The feature behind a name; UserError where it cannot be loaded or does not keep the contract."""
    if name.startswith(HUGGING_FACE):
        from datamodules.speech_encoder import Encoder

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
