"""Numbers of EAC; the defaults are the toy preset."""

from dataclasses import dataclass, field
from typing import Literal

from conventions.registry import Registry
from datamodules.config import SpeechForm, StageDataConfig
from lightning_modules.training.configs import IF_CHANGED, at_least, check_losses, divides, known, positive, share

BACKBONES = Registry(
    "EAC backbone",
    "eac_backbones",
    {
        "transformer": "lightning_modules.eac.backbones:Transformer",
        "gru": "lightning_modules.eac.backbones:GRU",
        "mlp": "lightning_modules.eac.backbones:MLP",
    },
)
"""Name -> class of a backbone; see `lightning_modules.eac.backbones.build_backbone`."""


@dataclass(frozen=True)
class BackboneConfig:
    """What turns per-frame features into expression over time; the kinds of Table 3 share one count of weights."""

    kind: str = "transformer"
    """transformer: windowed attention; gru: recurrent; mlp: each frame separately (Table 3); or `module:Class`, a class
    of your own, constructed as `Class(BackboneConfig)`."""
    width: int = 96
    """Channels of a frame's features."""
    heads: int = 4
    """Attention heads."""
    layers: int = 3
    """Transformer layers, and residual blocks of the MLP."""
    past: int = 25
    """Frames that one attention layer looks back."""
    future: int = 3
    """Frames that one attention layer looks ahead; the look-ahead of the network is `layers * future`, also for the
    GRU."""

    def __post_init__(self) -> None:
        known(BACKBONES, kind=self.kind)
        at_least(1, layers=self.layers)
        at_least(0, past=self.past, future=self.future)
        divides(self.width, self.heads, even=True)


@dataclass(frozen=True)
class EACWeights:
    """Weights of EAC's losses; 0 leaves a loss out, and rendering with it."""

    coefficients: float = 1.0
    """Squared error of coefficients in units of their standard deviation."""
    velocity: float = 1.0
    """The same for differences between neighbouring frames."""
    mouth: float = 0.2
    """Distance of the 20 mouth landmarks in mm; needs the face model."""
    opening: float = 0.0
    """1 - correlation of the mouth's opening with the truth over a stretch: small movements count as much as large
    ones; needs the face model."""
    emotion: float = 0.3
    """L_emo: distance of a frozen emotion network's features of the rendered prediction and `emotion_target`."""
    pose: float = 0.3
    """Squared error of the head's motion and of its velocity, in units of 0.1 rad and 1 cm; no effect without
    `eac.pose`."""
    sync: float = field(default=0.0, metadata=IF_CHANGED)
    """Distance of a lip-sync expert's embeddings of the audio and of the rendered prediction."""

    def __post_init__(self) -> None:
        at_least(0, **vars(self))


@dataclass(frozen=True)
class EACConfig:
    """Speech and emotion to expression coefficients."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    weights: EACWeights = field(default_factory=EACWeights)
    pose: bool = False
    """Predict the head's motion too; in evaluation it then moves the head, in place of the clip's own."""
    extra_losses: tuple[str, ...] = field(default=())
    """Losses of your own as `module:function=weight`, called as `function(predicted [b, t, 64], EACBatch)`."""
    emotion_target: Literal["photo", "render"] = "photo"
    """What L_emo compares the render of the prediction with: the true frame, or the render of the true coefficients."""
    emotion_clips: int = 4
    """Clips of a batch that are rendered for L_emo."""
    emotion_frames: int = 1
    """Frames of such a clip that are rendered; 1 where the target is the photo, of which a batch has one each."""
    sync_clips: int = field(default=4, metadata=IF_CHANGED)
    """Clips of a batch of which a window of five frames is rendered for the lip-sync loss."""
    other_modalities: float = 0.25
    """Share of batches conditioned on an image or a voice instead of text."""
    slider_share: float = 0.5
    """Share of text conditions that are another level's code, moved to the clip's level by the level slider."""
    dropout: float = 0.0
    """Dropout of the speech feature, of its projection and of the backbone's output, for sets of few people."""
    mean_share: float = 1.0
    """Share of the error of a stretch's mean that counts in the losses of coefficients and mouth: small for training
    sets of few people, whose mean faces do not generalise."""
    steps: int = 1000
    """Training batches."""
    batch_size: int = 24
    """Clips in a batch."""
    learning_rate: float = 1e-3
    """Peak rate of AdamW; cosine decay."""
    warmup: int = 20
    """Batches of linear warm-up."""
    weight_decay: float = 0.01
    """AdamW's decay of matrices."""
    data: StageDataConfig = field(default_factory=StageDataConfig)
    speech: SpeechForm = field(default_factory=SpeechForm, metadata={"numbers": False})
    """A run takes it from its store and `data.speech`."""

    def __post_init__(self) -> None:
        check_losses(self.extra_losses)
        at_least(1, steps=self.steps, batch_size=self.batch_size)
        at_least(1, emotion_clips=self.emotion_clips, emotion_frames=self.emotion_frames, sync_clips=self.sync_clips)
        if self.emotion_target == "photo" and self.emotion_frames != 1:
            raise ValueError(
                f"emotion_frames: {self.emotion_frames} needs emotion_target: render; a photo is one frame"
            )
        at_least(0, warmup=self.warmup, weight_decay=self.weight_decay)
        positive(learning_rate=self.learning_rate)
        share(other_modalities=self.other_modalities, slider_share=self.slider_share)
        share(dropout=self.dropout, mean_share=self.mean_share)
