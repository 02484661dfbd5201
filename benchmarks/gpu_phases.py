"""What `benchmarks.gpu` does in each of its phases."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.talk import write_speech
from conventions.rates import VIDEO_FPS
from emospace.bench.measure import milliseconds
from emospace.bench.subjects import frame_inputs, preset_config
from emospace.demo import write_astronaut
from emospace.talker import Talker, VideoSettings
from emospace.talking.model_file import HEF_WEIGHTS, ModelParts, build
from emospace.talking.portrait import Frame
from face3d.morphable import PROCEDURAL, load_model
from face3d.renderer import Renderer
from lightning_modules.ame.config import STANDIN, AMEConfig
from lightning_modules.ame.module import AMEModule
from lightning_modules.eac.config import EACConfig
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.config import HEFConfig
from lightning_modules.hef.generator import Generator
from lightning_modules.hef.module import HEFModule

ROUNDS = 10
"""Timed repeats of a call."""


@dataclass(frozen=True)
class Setting:
    """Where and how large, until when (`time.monotonic`), and what earlier phases found."""

    device: str
    tiny: bool
    out: Path
    until: float
    found: Mapping[str, Any]

    @property
    def left(self) -> float:
        """Seconds of the phase that are left."""
        return self.until - time.monotonic()

    @property
    def rounds(self) -> int:
        """Timed repeats of a call."""
        return 1 if self.tiny else ROUNDS

    def hef(self, preset: str) -> HEFConfig:
        """HEF's configuration: of the preset, or its smallest."""
        config = preset_config(preset).hef
        if not self.tiny:
            return config
        small = {"width": 4, "max_width": 8, "style_dim": 8, "discriminator_width": 4, "batch_size": 2}
        return replace(config, resolution=32 if preset == "paper" else 16, micro_batches=1, **small)


def free(device: str) -> None:
    """Memory of the phase before."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def memory_gib(device: str) -> float | None:
    """Most memory that was taken since the last `free`."""
    return round(torch.cuda.max_memory_allocated() / 2**30, 3) if device == "cuda" else None


@contextmanager
def precision(device: str, name: str) -> Iterator[None]:
    """Autocast to bf16, or float32 with TF32 as training uses it."""
    with torch.autocast(device, torch.bfloat16, enabled=name == "bf16"):
        yield


def peak(setting: Setting) -> dict[str, float]:
    """TFLOP/s of a large matrix product."""
    size, found = 256 if setting.tiny else 8192, {}
    for name, dtype in (("bf16", torch.bfloat16), ("float32", torch.float32)):
        one, other = (torch.randn(size, size, device=setting.device, dtype=dtype) for _ in range(2))
        ms = milliseconds(lambda one=one, other=other: one @ other, setting.device, repeats=setting.rounds).total
        found[f"{name}_tflops"] = 2 * size**3 / ms / 1e9
    return found


@torch.no_grad()
def frames(setting: Setting) -> dict[str, Any]:
    """Frames a second of the driven frame, the source encoded before; stops at the first batch without memory."""
    config, rows = setting.hef("paper"), []
    backend = "eager" if setting.tiny else "inductor"
    net = Generator(config).to(setting.device, memory_format=torch.channels_last).eval()
    for how, drive in (("eager", net.drive), ("compiled", torch.compile(net.drive, backend=backend, dynamic=False))):
        cases = [(name, batch) for name in ("bf16", "float32") for batch in (1, 4, 16, 32)]
        for name, batch in cases[:1] if setting.tiny else cases:
            if setting.left > 0:
                found = _frame(setting, config, net, drive, batch, name)
                rows.append({"how": how, "precision": name, "batch": batch, **found})
    timed = [row for row in rows if "frames_per_second" in row]
    best = max(timed, key=lambda row: row["frames_per_second"])
    return {"resolution": config.resolution, "rows": rows, "best": best}


def _frame(
    setting: Setting, config: HEFConfig, net: Generator, drive: Callable, batch: int, name: str
) -> dict[str, Any]:
    free(setting.device)
    image, source_geometry, *rest = frame_inputs(config, batch, setting.device)
    try:
        with precision(setting.device, name):
            source = net.encode_source(image, source_geometry)
            ms = milliseconds(lambda: drive(source, *rest), setting.device, repeats=setting.rounds, seconds=15.0).total
    except torch.OutOfMemoryError:
        return {"error": "out of memory"}
    return {"ms": ms, "frames_per_second": 1000 * batch / ms, "memory_gib": memory_gib(setting.device)}


def talk(setting: Setting) -> dict[str, Any]:
    """A video of the astronaut by untrained networks, twice: first a short one, which meets everything cold."""
    config, device = setting.hef("paper"), setting.device
    talker = Talker(build(untrained(config), "untrained networks"), device)
    portrait, speech = write_astronaut(setting.out), setting.out / "speech.wav"
    lengths, took = (1, 2) if setting.tiny else (2, 20), []
    settings = VideoSettings(Frame(size=config.resolution))
    for seconds in lengths:
        write_speech(speech, seconds)
        began = time.perf_counter()
        talker.talk(portrait, speech, "very happy", setting.out / "talk.mp4", settings=settings)
        took.append(time.perf_counter() - began)
    speech.unlink()
    return {"seconds_of_speech": lengths, "wall_s": took, "frames_per_second": VIDEO_FPS * lengths[1] / took[1]}


def untrained(config: HEFConfig) -> ModelParts:
    """AME of the one-hot table, EAC and HEF with initial weights."""
    text = replace(AMEConfig().text, encoding="onehot", clip_model=STANDIN)
    ame = AMEModule(AMEConfig(text=text))
    eac_config = EACConfig()
    eac_config = replace(eac_config, weights=replace(eac_config.weights, mouth=0.0, emotion=0.0))
    eac = EACModule(eac_config, ame.encoder)
    hef = HEFModule(config, ame.encoder, Renderer(load_model(PROCEDURAL), config.resolution))
    generator = {k.removeprefix(HEF_WEIGHTS): v for k, v in hef.state_dict().items() if k.startswith(HEF_WEIGHTS)}
    modules = {"ame": ame, "eac": eac, "hef": hef}
    states = {"ame": ame.state_dict(), "eac": eac.state_dict(), "hef": generator}
    return ModelParts(PROCEDURAL, {name: asdict(one.config) for name, one in modules.items()}, states)
