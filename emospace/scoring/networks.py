"""The published networks of the metric protocol that this machine has, and how to get the others."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from conventions.emotions import EMOTIONS
from conventions.errors import MissingPackage
from conventions.published import ALEXNET, HSEMOTION, INCEPTION, LANDMARKER, SFACE, SYNCNET
from conventions.weights import weight_folders
from face3d.landmarker import mediapipe_tasks
from metrics.backbones.hsemotion import HSEmotion
from metrics.backbones.inception import FIDInception
from metrics.backbones.lpips import AlexLPIPS
from metrics.backbones.mediapipe import MediaPipeLandmarks
from metrics.backbones.protocols import IdentityBackbone, LandmarkBackbone
from metrics.backbones.sface import SFace
from metrics.backbones.syncnet import SyncNet
from metrics.protocol import USES
from metrics.suite import Suite

FILES = {
    "landmarks": LANDMARKER,
    "emotion": HSEMOTION,
    "identity": SFACE,
    "sync": SYNCNET,
    "inception": INCEPTION,
    "perceptual": ALEXNET,
}
"""The file of the network in each role."""

REMEMBERED = 4096
"""Pictures whose landmarks are kept."""

CLIPS = 4
"""Clips of which a network's answer is kept: generated, true, source, and the source held still."""


class _Memory:
    """What a network said of the pictures that it saw last."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[bytes, Tensor] = OrderedDict()

    def ask(self, look: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """`look(images)`, looked at once."""
        key = _digest(images)
        if key not in self._known:
            self._known[key] = look(images)
            if len(self._known) > self._limit:
                self._known.popitem(last=False)
        return self._known[key]

    def ask_clip(self, look: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """The same of a clip; a picture held still is one frame."""
        if len(images) > 1 and bool((images == images[:1]).all()):
            return self.ask(look, images[:1]).expand(len(images), -1)
        return self.ask(look, images)


class RememberedLandmarks:
    """A landmark backbone that looks at each picture once: LMD, CSIM and the reference rows ask for the same frames.

    Right for backbones whose landmarks of a frame do not depend on the other frames.
    """

    def __init__(self, backbone: LandmarkBackbone) -> None:
        self.name, self.stand_in = backbone.name, backbone.stand_in
        self._backbone, self._memory = backbone, _Memory(REMEMBERED)

    def landmarks(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 68 2"]:
        """(x, y) in [-1, 1] across the frame; NaN where no face is found."""
        return torch.cat([self._memory.ask(self._backbone.landmarks, image[None]) for image in images])


class RememberedIdentity:
    """An identity backbone that embeds each clip once, and a picture held still as one frame."""

    def __init__(self, backbone: IdentityBackbone) -> None:
        self.name, self.stand_in = backbone.name, backbone.stand_in
        self._backbone, self._memory = backbone, _Memory(CLIPS)

    def embed(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t d"]:
        """Embeddings; NaN for a frame in which no face is found."""
        return self._memory.ask_clip(self._backbone.embed, images)


class RememberedEmotion:
    """An emotion backbone that looks at each clip once: both references ask for the same frames."""

    def __init__(self, backbone: HSEmotion) -> None:
        self.name, self.stand_in = backbone.name, backbone.stand_in
        self._backbone, self._memory = backbone, _Memory(CLIPS)

    def features(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t d"]:
        """Features for EFD; NaN for a frame in which no face is found."""
        return self._outputs(images)[:, : -len(EMOTIONS)]

    def probabilities(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 8"]:
        """Probabilities of `EMOTIONS`; NaN for a frame in which no face is found."""
        return self._outputs(images)[:, -len(EMOTIONS) :]

    def _outputs(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t d"]:
        return self._memory.ask_clip(lambda frames: torch.cat(self._backbone.outputs(frames), dim=1), images)


def _digest(images: Tensor) -> bytes:
    pixels = images.cpu().contiguous().numpy()
    return hashlib.blake2b(pixels.data, digest_size=16, person=str(images.shape[-2]).encode()).digest()


def published_suite(weights: Path | None, device: torch.device) -> tuple[Suite, dict[str, str]]:
    """The protocol over the networks that are here, and for each role without one what would bring it.

    Files are looked for in `weights`, EMOSPACE_WEIGHTS and the user's cache. One that is there but is not the
    published file is a UserError: nothing is scored with a damaged network.
    """
    found: dict[str, Any] = {}
    missing: dict[str, str] = {}

    def load(role: str, make: Callable[[Path], Any]) -> None:
        path = FILES[role].found(weights)
        if path is None:
            missing[role] = remedy(role, weights)
            return
        try:
            found[role] = make(path)
        except MissingPackage as error:
            missing[role] = str(error)

    load("landmarks", _landmarks)
    if "landmarks" in found:
        load("emotion", lambda path: RememberedEmotion(HSEmotion(path, found["landmarks"])))
        load("identity", lambda path: RememberedIdentity(SFace(path, found["landmarks"])))
    else:
        missing["emotion"] = f"faces are cut out by landmarks first: {missing['landmarks']}"
        missing["identity"] = f"faces are aligned by landmarks first: {missing['landmarks']}"
    load("sync", lambda path: SyncNet.load(path).to(device))
    load("inception", FIDInception)
    load("perceptual", AlexLPIPS)
    return Suite(**found), {role: missing[role] for role in USES if role in missing}


def remedy(role: str, weights: Path | None) -> str:
    """The one line that says which file to put where."""
    file, folders = FILES[role], " or ".join(map(str, weight_folders(weights)))
    return f"put {file.name} from {file.source} into {folders} (--weights or EMOSPACE_WEIGHTS name another folder)"


def _landmarks(path: Path) -> RememberedLandmarks:
    mediapipe_tasks()
    return RememberedLandmarks(MediaPipeLandmarks(path))
