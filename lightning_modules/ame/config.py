"""Numbers of AME; the defaults are the toy preset."""

from dataclasses import dataclass, field
from typing import Literal

from conventions.registry import Registry
from datamodules.config import HUGGING_FACE, VOICE, AMEDataConfig, SpeechForm
from lightning_modules.training.configs import at_least, divides, known, positive, share

TEXT_SOURCES = Registry(
    "emotion encoding",
    "text_sources",
    {
        "clip": "lightning_modules.ame.sources:ClipText",
        "gpt2": "lightning_modules.ame.sources:GPT2Text",
        "onehot": "lightning_modules.ame.sources:StyleTable",
    },
)
"""Name -> a subclass of `lightning_modules.ame.sources.TextSource`; a user's own is made as `Class(TextConfig)`."""

STANDIN = "standin"
"""Names the small model that the project trains itself, in place of a public one."""


@dataclass(frozen=True)
class TextConfig:
    """What turns text into emotion (the "emotion encoding" of Table 3)."""

    encoding: str = "clip"
    """clip: CLIP's text tower; gpt2: GPT-2 with a learned projection; onehot: a learned table of MEAD's 22 styles;
    hf:NAME_OR_FOLDER: a sentence encoder of the `transformers` library, frozen; or `module:Class`, a `TextSource` of
    your own."""
    clip_model: str = STANDIN
    """open_clip architecture such as ViT-B-32, or `standin`."""
    clip_weights: str = field(default="", metadata={"numbers": False})
    """open_clip pretrained tag (openai) or a local weights file; empty with the stand-in."""
    gpt2_model: str = field(default=STANDIN, metadata={"numbers": False})
    """transformers name (gpt2) or local folder, or `standin`."""

    def __post_init__(self) -> None:
        if not self.encoding.startswith(HUGGING_FACE):
            known(TEXT_SOURCES, encoding=self.encoding)


@dataclass(frozen=True)
class ImageConfig:
    """Encoder of images."""

    tower: Literal["clip", "trained", "none"] = "clip"
    """clip: CLIP's image tower, frozen, with an adapter; trained: a small network, trained from scratch on grey images
    of `data.image_size`; none: images are refused."""
    width: int = 32
    """Channels of the first layers of a trained tower; the last has four times as many."""
    dropout: float = 0.5
    """Dropout between the pooling and the projection of a trained tower."""

    def __post_init__(self) -> None:
        at_least(1, width=self.width)
        share(dropout=self.dropout)


@dataclass(frozen=True)
class AudioConfig:
    """Size of the audio encoder."""

    width: int = 96
    """Channels of stem and Transformer."""
    heads: int = 4
    """Attention heads."""
    layers: int = 2
    """Transformer layers."""
    positions: Literal["convolution", "none"] = "convolution"
    """How the Transformer receives the order of frames: by a convolution over 0.6 s (as in wav2vec 2.0), or not beyond
    the stem's 0.1 s."""
    dropout: float = 0.1
    """Dropout inside the Transformer."""
    pooled_dropout: float = 0.3
    """Dropout between pooling and projection."""
    speech: SpeechForm = field(default=VOICE, metadata={"numbers": False})
    """A run takes it from its store and `data.voice`."""

    def __post_init__(self) -> None:
        at_least(1, layers=self.layers)
        divides(self.width, self.heads)
        share(dropout=self.dropout, pooled_dropout=self.pooled_dropout)


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of the training batches; 0 switches a part off."""

    flip: float = 0.5
    """Probability of mirroring an image."""
    degrees: float = 8.0
    """Largest rotation of an image."""
    shift: float = 0.06
    """Largest shift of an image, as a share of its size."""
    zoom: float = 0.1
    """Largest change of an image's scale."""
    colour: float = 0.2
    """Largest relative change of brightness, contrast and saturation."""
    time_masks: int = 2
    """Intervals of a mel that are masked (SpecAugment, Park et al. 2019)."""
    time_share: float = 0.1
    """Longest such interval, as a share of the mel."""
    frequency_masks: int = 2
    """Bands of a mel that are masked."""
    frequency_bins: int = 12
    """Widest such band, in mel bins."""
    gain_db: float = 3.0
    """Largest change of loudness, in dB."""
    warp: float = 0.1
    """Largest relative change of a mel's frequencies, as of a longer or shorter vocal tract."""

    def __post_init__(self) -> None:
        share(flip=self.flip, shift=self.shift, zoom=self.zoom, colour=self.colour, time_share=self.time_share)
        share(warp=self.warp)
        at_least(0, degrees=self.degrees, gain_db=self.gain_db, frequency_bins=self.frequency_bins)
        at_least(0, time_masks=self.time_masks, frequency_masks=self.frequency_masks)


@dataclass(frozen=True)
class AMEWeights:
    """Weights of AME's losses."""

    text_audio: float = 1.0
    """Contrastive, text against audio."""
    text_image: float = 1.0
    """Contrastive, text against image."""
    audio_image: float = 1.0
    """Contrastive, audio against image."""
    intensity: float = 0.5
    """Ordinal loss of the intensity token, mean over modalities."""
    null: float = 0.05
    """Pull of emotion-unrelated prompts to the token's null point."""

    def __post_init__(self) -> None:
        at_least(0, **vars(self))


@dataclass(frozen=True)
class AMEConfig:
    """The emotion space."""

    data: AMEDataConfig = field(default_factory=AMEDataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    image: ImageConfig = field(default_factory=ImageConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    weights: AMEWeights = field(default_factory=AMEWeights)
    adapter_width: int = 64
    """Hidden width of the residual adapter on CLIP's image embedding."""
    adapter_dropout: float = 0.3
    """Dropout of CLIP's image embedding on its way into the adapter."""
    token_width: int = 128
    """Hidden width of the intensity head."""
    softness: float = 0.3
    """Weight of a neighbouring level of the same emotion as a negative."""
    unrelated_prompts: int = 8
    """Emotion-unrelated prompts drawn for each batch."""
    steps: int = 1000
    """Training batches; 0 keeps the initial weights over the frozen towers, for a store without emotion labels."""
    batch_size: int = 48
    """Clips in a batch."""
    learning_rate: float = 1e-3
    """Peak rate of AdamW; cosine decay."""
    warmup: int = 20
    """Batches of linear warm-up."""
    weight_decay: float = 0.01
    """AdamW's decay of matrices."""
    evaluation_frames: int = 8
    """Frames of a test clip whose mean is its image embedding."""

    def __post_init__(self) -> None:
        at_least(1, unrelated_prompts=self.unrelated_prompts)
        at_least(1, adapter_width=self.adapter_width, token_width=self.token_width)
        at_least(1, evaluation_frames=self.evaluation_frames)
        at_least(2, batch_size=self.batch_size)
        at_least(0, steps=self.steps, warmup=self.warmup, weight_decay=self.weight_decay)
        positive(learning_rate=self.learning_rate)
        share(softness=self.softness, adapter_dropout=self.adapter_dropout)

    @property
    def needs_clip(self) -> bool:
        """Whether text or images go through CLIP."""
        return self.text.encoding == "clip" or self.image.tower == "clip"

    def parents(self) -> tuple[str, ...]:
        """Stages whose networks this one is built on: those of `clip` and `gpt2` that are stand-ins."""
        clip = ("clip",) if self.needs_clip and self.text.clip_model == STANDIN else ()
        gpt2 = ("gpt2",) if self.text.encoding == "gpt2" and self.text.gpt2_model == STANDIN else ()
        return clip + gpt2
