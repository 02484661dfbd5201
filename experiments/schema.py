"""The one typed configuration of an experiment; each section is declared beside what it configures."""

from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

from datamodules.config import DataConfig
from lightning_modules.ame.config import AMEConfig
from lightning_modules.eac.config import EACConfig
from lightning_modules.hef.config import HEFConfig
from lightning_modules.standins.config import JudgesConfig, LipSyncConfig, PriorConfig

NO_NUMBERS = {"numbers": False}
"""Field metadata of what cannot change a run's numbers and so has no part in its identity."""


@dataclass(frozen=True)
class TrainerConfig:
    """How every stage is trained; what is trained stands in the stage's own section."""

    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Arithmetic; bf16-mixed on GPUs. Half precision with loss scaling is not supported, because HEF clips its
    gradients manually."""
    devices: int = 1
    """Processes on each node that train AME, EAC and HEF (Lightning DDP if more than one); stand-ins use one. Each
    draws its own batches, so that a step processes `devices` times `batch_size`: another run."""
    num_nodes: int = 1
    """Nodes of that training, started by srun or torchrun."""
    strategy: str = "auto"
    """Lightning's strategy for several processes; auto is ddp_find_unused_parameters_true, which HEF needs."""
    gradient_clip: float = 0.0
    """Largest gradient norm of AME, EAC and the stand-ins; 0 does not clip. HEF has its own limits."""
    callbacks: tuple[str, ...] = ()
    """Further Lightning callbacks, each `module:Class key=value ...`."""
    accelerator: Literal["auto", "cpu", "gpu"] = field(default="auto", metadata=NO_NUMBERS)
    """Where to train; auto uses a GPU if available."""
    checkpoint_every: int = field(default=200, metadata=NO_NUMBERS)
    """Batches between checkpoints: the most that a killed run loses."""
    keep_every: int = field(default=0, metadata=NO_NUMBERS)
    """Batches between permanent checkpoints (`checkpoints/step-N.ckpt`), to branch from; 0 keeps none."""
    monitor: str = field(default="", metadata=NO_NUMBERS)
    """A metric such as val/loss whose best checkpoint is kept as `checkpoints/best.ckpt`; empty keeps none."""
    monitor_mode: Literal["min", "max"] = field(default="min", metadata=NO_NUMBERS)
    """Whether the minimum or the maximum of `monitor` is best."""
    val_every: int = field(default=200, metadata=NO_NUMBERS)
    """Batches between validations (`val/...` on the validation actors)."""
    sample_every: int = field(default=1000, metadata=NO_NUMBERS)
    """Batches between images and videos of training (samples/train), written after a validation."""
    profiler: Literal["", "simple", "advanced", "pytorch"] = field(default="", metadata=NO_NUMBERS)
    """Lightning's profiler, whose report is written to the run folder; empty: only the time waiting for batches is
    measured."""
    log_every: int = field(default=10, metadata=NO_NUMBERS)
    """Batches between rows of history.jsonl."""

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes", "checkpoint_every", "log_every", "val_every", "sample_every"):
            _at_least(name, getattr(self, name), 1)
        _at_least("keep_every", self.keep_every, 0)
        if not 0 <= self.gradient_clip < float("inf"):
            raise ValueError(f"gradient_clip: {self.gradient_clip} is not valid; it must be at least 0")


@dataclass(frozen=True)
class TrackingConfig:
    """Weights & Biases as a mirror of the run folder; it can never stop a run."""

    mode: Literal["auto", "offline", "online", "disabled"] = field(default="auto", metadata=NO_NUMBERS)
    """offline writes below `runs/<id>/wandb` and needs no account; online needs a key; disabled writes nothing;
    auto follows WANDB_MODE; without it, it is online with WANDB_API_KEY set or inside `wandb agent`, else offline."""
    project: str = field(default="emospace", metadata=NO_NUMBERS)
    """Project name in W&B; WANDB_PROJECT overrides the default."""
    entity: str = field(default="", metadata=NO_NUMBERS)
    """W&B user or team; empty means WANDB_ENTITY, else the account's own."""


@dataclass(frozen=True)
class MetricNetworksConfig:
    """The networks behind the metrics: `evaluate.networks=published` for all roles, or one role at a time.

    A role takes a name of `metrics/published.py`, the path of a file, `module:attribute`, standin or published.
    """

    SHORT: ClassVar[str] = "all"

    all: Literal["standin", "published"] = "standin"
    """Roles without a value of their own: small networks that the project trains itself, or published ones."""
    landmarks: str = ""
    """LMD and the naturalness metrics."""
    emotion: str = ""
    """EFD and emotion accuracy."""
    identity: str = ""
    """CSIM."""
    sync: str = ""
    """Sync."""
    fid: str = ""
    """FID."""
    lpips: str = ""
    """LPIPS."""
    fvd: str = ""
    """FVD; no value with stand-ins."""
    expression: str = ""
    """E-FID; no value with stand-ins."""

    def choice(self) -> str | dict[str, str]:
        """The choice as `metrics.published` reads it."""
        found = _by_role(self)
        return self.all if set(found.values()) == {self.all} else found


@dataclass(frozen=True)
class LossNetworksConfig:
    """The networks in the losses of EAC and HEF: `losses.networks=published`, or one role at a time."""

    SHORT: ClassVar[str] = "all"

    all: Literal["standin", "published"] = "standin"
    """Roles without a value of their own: small networks that the project trains itself, or published ones."""
    identity: str = ""
    """HEF's identity loss."""
    emotion: str = ""
    """L_emo of EAC and HEF's emotion loss."""
    perceptual: str = ""
    """HEF's perceptual loss."""
    sync: str = "standin"
    """The lip-sync expert of EAC and HEF. `all` has no part in it: the published one is the network of Sync."""

    def choice(self) -> dict[str, str]:
        """The choice as `metrics.published` reads it."""
        return _by_role(self)


def _by_role(networks: MetricNetworksConfig | LossNetworksConfig) -> dict[str, str]:
    given = {field.name: getattr(networks, field.name) for field in fields(networks) if field.name != "all"}
    return {role: value or networks.all for role, value in given.items()}


@dataclass(frozen=True)
class LossesConfig:
    """What the losses of EAC and HEF share."""

    networks: LossNetworksConfig = field(default_factory=LossNetworksConfig)
    lip_sync: LipSyncConfig = field(default_factory=LipSyncConfig)


@dataclass(frozen=True)
class EvaluateConfig:
    """The last stage: the whole pipeline on test clips, scored by the metric protocol."""

    modality: Literal["text", "image", "audio"] = "text"
    """Source of the emotion: the prompt of the style, a frame of another clip of that style, or the speech itself."""
    clips: Literal["basic", "unseen", "val"] = "basic"
    """Test clips of MEAD's own styles (basic), or of styles that no training clip shows (unseen); val: validation clips
    of MEAD's own styles, to choose settings without the test clips."""
    networks: MetricNetworksConfig = field(default_factory=MetricNetworksConfig)
    max_clips: int = 0
    """Score at most this many clips, evenly taken from all; 0 means every clip."""
    samples: int = field(default=2, metadata=NO_NUMBERS)
    """Clips whose video and image strip are kept in samples/."""

    def __post_init__(self) -> None:
        for name in ("max_clips", "samples"):
            _at_least(name, getattr(self, name), 0)


@dataclass(frozen=True)
class WorldConfig:
    """The toy world: captioned images for the stand-ins, and clips for experiments without MEAD."""

    root: str = field(default="work/toy-mead", metadata=NO_NUMBERS)
    """Folder of the toy world; written if it is missing."""
    preset: Literal["tiny", "small", "default"] = "default"
    """Size of the toy world: 6, 16 or 42 actors."""
    seed: int = 0
    """The world's own seed."""
    fills_store: bool = field(default=False, metadata=NO_NUMBERS)
    """Prepare the toy world's clips into `data.store` if it is missing; false: the store is the user's own."""

    def __post_init__(self) -> None:
        _seed("seed", self.seed)


@dataclass(frozen=True)
class InitFromConfig:
    """Where a stage's training starts instead of its initial weights: a run id or folder, a .pt file (weights), or a
    .ckpt file (weights, optimisers and batch: a branch, or an extension to more steps)."""

    ame: str = field(default="", metadata=NO_NUMBERS)
    """For AME."""
    eac: str = field(default="", metadata=NO_NUMBERS)
    """For EAC."""
    hef: str = field(default="", metadata=NO_NUMBERS)
    """For HEF."""


@dataclass(frozen=True)
class ExperimentConfig:
    """Everything that one experiment is."""

    name: str = field(default="experiment", metadata=NO_NUMBERS)
    """Label of the runs; by default the name of the YAML file."""
    seed: int = 0
    """Seeds initialisation, data order and dropout of AME, EAC and HEF."""
    prior_seed: int = 0
    """Seeds the stand-ins for downloaded weights and the judges: they are shared by all values of `seed`."""
    face_model: str = field(default="", metadata=NO_NUMBERS)
    """File of BFM09 or ICT-FaceKit where the store's coefficients are of that model; the procedural head needs none."""
    world: WorldConfig = field(default_factory=WorldConfig)
    data: DataConfig = field(default_factory=DataConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)
    judges: JudgesConfig = field(default_factory=JudgesConfig)
    ame: AMEConfig = field(default_factory=AMEConfig)
    eac: EACConfig = field(default_factory=EACConfig)
    hef: HEFConfig = field(default_factory=HEFConfig)
    losses: LossesConfig = field(default_factory=LossesConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    init_from: InitFromConfig = field(default_factory=InitFromConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        for name in ("seed", "prior_seed"):
            _seed(name, getattr(self, name))
        if not self.name or any(sign in self.name for sign in "/. \t"):
            raise ValueError(f"name: {self.name!r} is a label: letters, digits, - and _ only")


LARGEST_SEED = 2**32 - 1
"""NumPy takes no larger one."""


def _seed(name: str, value: int) -> None:
    if not 0 <= value <= LARGEST_SEED:
        raise ValueError(f"{name}: {value} is not valid; it must be between 0 and {LARGEST_SEED}")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name}: {value} is not valid; it must be at least {least}")
