"""Configuration of HEF; the defaults are the sizes of the toy world, 64 px."""

from dataclasses import dataclass, field
from typing import Literal

from conventions.errors import UserError
from conventions.rates import FRAMES_PER_WINDOW
from datamodules.config import StageDataConfig
from lightning_modules.ame.config import TEXT_SOURCES
from lightning_modules.training.configs import IF_CHANGED, at_least, below_one, check_losses, known, positive, share

BASE_SIZE = 8
"""Height and width of the coarsest scale."""


@dataclass(frozen=True)
class FlowConfig:
    """How the flow field is predicted; the two switches are the last group of Table 3."""

    residual: bool = True
    """Each scale adds to the upsampled flow of the one below; false: each scale predicts its whole flow (w/o res.)."""
    hierarchical: bool = True
    """Flow is refined up to full resolution; false: it stays at 1/8 of it, 64 x 64 for 512 (w/o hie.)."""


@dataclass(frozen=True)
class AugmentConfig:
    """Photograph-like changes of training pairs, alike in source and target; 0 switches a part off."""

    share: float = 0.0
    """Share of the pairs that are changed; each change below then takes place by chance."""
    colour: float = 0.3
    """Largest change of each channel's gain, of gamma and of saturation, as a factor exp(x)."""
    grey: float = 0.1
    """Probability of a pair without colour."""
    blur: float = 1.0
    """Largest standard deviation of a Gaussian blur, in pixels."""
    grain: float = 0.04
    """Largest standard deviation of noise, in [-1, 1] units."""
    jpeg: float = 30.0
    """Lowest quality of a JPEG compression, 1 to 100; 0: none."""
    background: float = 0.3
    """Probability of another background, about head and shoulders."""
    displacement: float = 0.25
    """Farthest that head and shoulders of the target are moved before such a background, in halves of the image, and
    the largest zoom, as a factor exp(x)."""
    patches: float = 0.3
    """Probability of patches that move with the skin: beards, spots, frames of glasses, shadows."""

    def __post_init__(self) -> None:
        share(share=self.share, grey=self.grey, background=self.background, patches=self.patches)
        at_least(0, colour=self.colour, blur=self.blur, grain=self.grain, jpeg=self.jpeg)
        at_least(0, displacement=self.displacement)
        if self.jpeg > 100:
            raise ValueError(f"jpeg: {self.jpeg} is not valid; it must be at most 100")


@dataclass(frozen=True)
class HEFWeights:
    """Weights of the generator's losses, and of the discriminator's gradient penalty."""

    pixel: float = 10.0
    """Mean absolute error of the frame, in [-1, 1] units."""
    region: float = 4.0
    """Further weight of mouth and eyes within the pixel loss (1 everywhere else)."""
    perceptual: float = 2.0
    """Distance of perceptual features."""
    adversarial: float = 0.1
    """Non-saturating GAN loss."""
    identity: float = 0.5
    """1 - cosine of identity embeddings of frame and truth; no effect without an identity network."""
    emotion: float = 0.5
    """Distance of emotion embeddings of frame and truth; no effect without an emotion network."""
    warp: float = 5.0
    """Error of the warped source alone at the start; falls to a tenth over `warmup_steps`."""
    motion: float = 2.0
    """Flow against the projected motion of the 3DMM on visible skin, in units of the coarsest cells; no effect where
    `hef.motion` is rendered."""
    smoothness: float = 0.1
    """Total variation of the flow, in the same units."""
    temporal: float = 0.0
    """Error of the change between neighbouring frames; with a weight, half of a batch's targets are the other half's
    next frames (where `sync` has none)."""
    sync: float = field(default=0.0, metadata=IF_CHANGED)
    """Distance of a lip-sync expert's embeddings of the audio and of five frames after one another; with a weight, each
    part of a batch begins with as many such windows as fit."""
    gradient_penalty: float = 1.0
    """R1 (Mescheder et al. 2018), gamma / 2 times the squared gradient at real frames."""

    def __post_init__(self) -> None:
        at_least(0, **vars(self))


@dataclass(frozen=True)
class HEFConfig:
    """One HEF: sizes of the networks and how they are trained."""

    data: StageDataConfig = field(default_factory=StageDataConfig)
    text_encoding: str = "clip"
    """Encoding of the AME that conditions HEF; EAC's is `ame.text.encoding`."""

    resolution: int = 64
    """Height and width of frames: a power of two, at least 16."""
    width: int = 16
    """Channels at full resolution; they double with each halving of it."""
    max_width: int = 96
    """Channels at the coarsest scales."""
    style_dim: int = 128
    """Size of the style code that modulates the convolutions."""
    mapping_layers: int = 2
    """Layers of the mapping network from (emotion, source, drive) to the style code."""
    discriminator_width: int = 16
    """The discriminator's channels at full resolution."""
    discriminator: Literal["whole", "parts"] = "whole"
    """What is judged: the frame alone, or also mouth and eyes, each cut out at a quarter of the resolution."""
    gan: Literal["logistic", "hinge"] = "logistic"
    """The adversarial losses of generator and discriminator."""
    motion: Literal["rendered", "projected"] = "rendered"
    """What HEF gets of the wanted motion: the renders alone, as in the paper; or also the 3DMM's projected flow, as
    input, as the flow to start from and as a loss."""
    flow: FlowConfig = field(default_factory=FlowConfig)
    """Flow switches."""
    weights: HEFWeights = field(default_factory=HEFWeights)
    """Loss weights."""
    extra_losses: tuple[str, ...] = field(default=())
    """Losses of your own as `module:function=weight`, called as `function(image [b, 3, r, r], HEFBatch)`."""
    steps: int = 500
    """Batches to train."""
    batch_size: int = 8
    """Pairs of frames in a batch (on each device)."""
    micro_batches: int = 1
    """Parts a batch is worked through in: gradient accumulation within one step."""
    learning_rate: float = 1e-3
    """Generator's learning rate."""
    discriminator_learning_rate: float = 5e-4
    """Discriminator's learning rate."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Course of both learning rates: as they are, or on a cosine to 0 at the last batch."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's betas for both networks."""
    warmup_steps: int = 200
    """Batches over which the warp loss falls to a tenth and the adversarial loss rises to its weight."""
    penalty_every: int = 16
    """Lazy regularisation: the gradient penalty is taken each so many batches, times as much."""
    generator_clip: float = 5.0
    """Largest gradient norm of the generator."""
    discriminator_clip: float = 1.0
    """Largest gradient norm of the discriminator."""
    ema_decay: float = 0.99
    """Decay of the generator's weight average, once a batch."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Photograph-like changes of the training pairs."""
    unlabelled: float = 0.0
    """Share of the training pairs that are of clips without emotion label, where the store has both kinds; 0: such
    clips count as one style among the others."""
    image_codes: float = 0.2
    """Share of batches whose emotion is read off the target frame instead of a prompt, where the encoder can."""
    voice_codes: float = field(default=0.0, metadata=IF_CHANGED)
    """Share of batches whose emotion is taken from the clips' voices instead of a prompt, where the encoder can; clips
    without audio keep theirs from a prompt."""
    slider_share: float = field(default=0.0, metadata=IF_CHANGED)
    """Share of text conditions that are another level's code, moved to the clip's level by the level slider."""
    evaluate_frames: int = field(default=4, metadata={"numbers": False})
    """Frames of each test clip that this stage's own metrics look at."""

    def __post_init__(self) -> None:
        known(TEXT_SOURCES, text_encoding=self.text_encoding)
        check_losses(self.extra_losses)
        size = self.resolution
        if size < 2 * BASE_SIZE or size & (size - 1):
            raise UserError(f"hef.resolution: {size} is not a power of two of at least {2 * BASE_SIZE}")
        self._check_numbers()
        if self.batch_size % self.micro_batches:
            raise UserError(f"hef.micro_batches: {self.micro_batches} does not divide hef.batch_size {self.batch_size}")
        if self.successive == 2 and self.batch_size // self.micro_batches % 2:
            raise UserError(
                f"hef.weights.temporal: needs pairs of neighbours; hef.batch_size {self.batch_size} in "
                f"{self.micro_batches} parts is odd"
            )

        if self.weights.sync > 0:
            self._check_windows()

    def _check_windows(self) -> None:
        if self.batch_size // self.micro_batches < FRAMES_PER_WINDOW:
            raise UserError(
                f"hef.weights.sync: needs {FRAMES_PER_WINDOW} frames after one another; hef.batch_size "
                f"{self.batch_size} in {self.micro_batches} parts is too small"
            )
        if self.augment.share > 0:
            raise UserError(
                "hef.weights.sync: needs hef.augment.share 0; augmentation changes each frame of a window by itself"
            )

    def _check_numbers(self) -> None:
        at_least(1, width=self.width, max_width=self.max_width, style_dim=self.style_dim)
        at_least(1, mapping_layers=self.mapping_layers, discriminator_width=self.discriminator_width)
        at_least(1, steps=self.steps, batch_size=self.batch_size, micro_batches=self.micro_batches)
        at_least(1, penalty_every=self.penalty_every, evaluate_frames=self.evaluate_frames)
        at_least(0, warmup_steps=self.warmup_steps)
        positive(learning_rate=self.learning_rate, discriminator_learning_rate=self.discriminator_learning_rate)
        positive(generator_clip=self.generator_clip, discriminator_clip=self.discriminator_clip)
        share(image_codes=self.image_codes, voice_codes=self.voice_codes, unlabelled=self.unlabelled)
        share(slider_share=self.slider_share)
        if self.image_codes + self.voice_codes > 1:
            raise ValueError(f"voice_codes: {self.voice_codes} is impossible; with image_codes it must be at most 1")
        below_one(ema_decay=self.ema_decay, betas=max(self.betas))
        at_least(0, betas=min(self.betas))

    @property
    def knows_motion(self) -> bool:
        """Whether the projected motion of the 3DMM is given."""
        return self.motion == "projected"

    @property
    def successive(self) -> int:
        """Targets of a batch that follow each other in a clip."""
        if self.weights.sync > 0:
            return FRAMES_PER_WINDOW
        return 2 if self.weights.temporal > 0 else 1

    @property
    def needs_sound(self) -> bool:
        """Whether training batches hold audio."""
        return self.voice_codes > 0 or self.weights.sync > 0

    @property
    def sizes(self) -> tuple[int, ...]:
        """Heights of the scales, from the coarsest to full resolution."""
        count = (self.resolution // BASE_SIZE).bit_length()
        return tuple(BASE_SIZE << i for i in range(count))

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each scale, in the order of `sizes`."""
        return tuple(min(self.max_width, self.width * self.resolution // size) for size in self.sizes)

    @property
    def flow_sizes(self) -> tuple[int, ...]:
        """Height of the flow field predicted at each scale: the scale's own, or at most 1/8 of full resolution."""
        limit = self.resolution if self.flow.hierarchical else self.resolution // 8
        return tuple(min(size, limit) for size in self.sizes)
