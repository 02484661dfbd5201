"""Files of published networks: found in known folders, checked by SHA-256, fetched only when a person asks."""

import contextlib
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conventions.errors import UserError
from conventions.files import atomic_file, sha256_of

if TYPE_CHECKING:
    from torch import nn

FETCH_TIMEOUT = 30
"""Seconds without a byte after which a download is given up."""

PIECE = 1 << 20


@dataclass(frozen=True)
class WeightFile:
    """One published file: its name, where its authors publish it, and the first digits of its SHA-256 if known.

    Where the SHA-256 is known `source` is the address of the file itself, and `fetch` can get it.
    """

    name: str
    source: str
    sha256: str | None = None

    def checked(self, path: Path) -> Path:
        """`path` if it is there and is the published file; otherwise one line with its source."""
        if not path.is_file():
            raise UserError(f"{path}: no such file; get {self.name} from {self.source}")
        if self.sha256 and not (found := sha256_of(path)).startswith(self.sha256):
            raise UserError(
                f"{path}: SHA-256 is {found[:16]}, expected {self.sha256[:16]}; get {self.name} from {self.source}"
            )
        return path

    def found(self, given: Path | str | None = None) -> Path | None:
        """Path of the file in `weight_folders`, or None; `given` may be the file itself or a folder that holds it."""
        for folder in weight_folders(given):
            path = folder if folder.is_file() and folder.name == self.name else folder / self.name
            if path.is_file():
                return path
        return None

    def find(self, given: Path | str | None = None) -> Path:
        """Path of the file, as `found`; a UserError with the way to get it when it is nowhere."""
        if path := self.found(given):
            return path
        raise UserError(self.absence(given))

    def absence(self, given: Path | str | None = None) -> str:
        """One line on a file that is nowhere: the folders that were searched, and the way to get it."""
        looked = ", ".join(map(str, weight_folders(given))) or "any folder"
        remedy = f"`emospace doctor --fetch {self.name}` downloads it" if self.sha256 else f"get it from {self.source}"
        return f"{self.name}: not found in {looked} (--weights or EMOSPACE_WEIGHTS name another folder); {remedy}"

    def fetch(self, folder: Path) -> Path:
        """The file in `folder`, downloaded there unless it is there; UserError, and no file, where that fails.

        Nothing that is not the published file, by its SHA-256, ever stands under its name.
        """
        path = folder / self.name
        if path.exists():
            return self.checked(path)
        if not self.sha256:
            raise UserError(f"{self.name}: has no published SHA-256 to check; download it by hand from {self.source}")
        digest = hashlib.sha256()
        with atomic_file(path) as file:
            for piece in _download(self.source, folder):
                file.write(piece)
                digest.update(piece)
            if not digest.hexdigest().startswith(self.sha256):
                raise UserError(
                    f"{self.source}: SHA-256 is {digest.hexdigest()[:16]}, expected {self.sha256[:16]}; nothing is kept"
                )
        return path

    def state_dict(self, path: Path) -> dict[str, Any]:
        """The tensors of a checked PyTorch file; nothing else is unpickled."""
        import torch

        try:
            state = torch.load(self.checked(path), map_location="cpu", weights_only=True)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"{path}: no plain PyTorch tensors ({type(error).__name__}); get {self.name} from {self.source}"
            ) from error
        if not isinstance(state, dict):
            raise UserError(f"{path}: holds a {type(state).__name__}, expected a state dict of {self.name}")
        return state


def weight_folders(given: Path | str | None = None) -> list[Path]:
    """Folders in which optional weights are looked for: --weights, $EMOSPACE_WEIGHTS, the user's cache."""
    folders = [given, os.environ.get("EMOSPACE_WEIGHTS"), _cache()]
    return [Path(folder) for folder in folders if folder]


def _cache() -> Path | None:
    """The user's cache; None where the user has no home, as in many containers."""
    try:
        return Path.home() / ".cache" / "emospace" / "weights"
    except RuntimeError:
        return None


def _download(address: str, folder: Path) -> Iterator[bytes]:
    """The bytes behind an address, piece by piece; whatever goes wrong is one UserError that names the `folder`."""
    try:
        with contextlib.closing(urllib.request.urlopen(address, timeout=FETCH_TIMEOUT)) as answer:
            while piece := answer.read(PIECE):
                yield piece
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"{address}: could not be downloaded ({reason}); download it by other means and put it into {folder}"
        ) from error


def load_strictly(module: "nn.Module", state: dict[str, Any], path: Path) -> None:
    """Load `state`; a missing, surplus or misshapen tensor is one line that names it.

    Batch norm's counters of training batches may be absent: files of PyTorch before 0.4.1, such as `syncnet_v2.model`,
    have none, and nothing that is measured depends on them.
    """
    import torch

    expected = module.state_dict()
    counters = {key: torch.zeros_like(value) for key, value in expected.items() if key.endswith(".num_batches_tracked")}
    state = counters | state
    for key in sorted(expected.keys() | state.keys()):
        if key not in state or key not in expected:
            raise UserError(
                f"{path}: tensor {key!r} is {'missing' if key in expected else 'unknown'} for {type(module).__name__}"
            )
        if expected[key].shape != state[key].shape:
            shapes = f"{tuple(state[key].shape)}, expected {tuple(expected[key].shape)}"
            raise UserError(f"{path}: tensor {key!r} has shape {shapes}")
    module.load_state_dict(state)


def find_folder(place: str) -> Path | None:
    """The folder of an encoder: the path itself, or one of that name among the weights; None where there is none."""
    path = Path(place).expanduser()
    for folder in (path, *(base / path.name for base in weight_folders(None))):
        if (folder / "config.json").is_file():
            return folder
    if path.is_absolute() or place.startswith((".", "~")):
        raise UserError(f"{place}: is not the folder of an encoder; expected config.json and model.safetensors in it")
    if "/" not in place:
        looked = ", ".join(map(str, weight_folders(None)))
        raise UserError(f"encoder {place}: no folder of that name in {looked}; EMOSPACE_WEIGHTS names another")
    return None


LANDMARKER = WeightFile(
    "face_landmarker.task",
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
)
"""MediaPipe's Face Landmarker."""

SFACE = WeightFile(
    "face_recognition_sface.onnx",
    "https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface "
    "(face_recognition_sface_2021dec.onnx; rename it)",
)
"""Face recognition (Zhong et al. 2021)."""

ARCFACE = WeightFile("w600k_r50.onnx", "https://github.com/deepinsight/insightface/tree/master/model_zoo (buffalo_l)")
"""Face recognition (Deng et al. 2019), for a loss beside SFace as the metric or the other way round."""

HSEMOTION = WeightFile(
    "enet_b0_8_best_vgaf.onnx",
    "https://github.com/sb-ai-lab/EmotiEffLib/tree/main/models/affectnet_emotions/onnx",
)
"""Emotion (Savchenko 2022), the default of its authors' own packages; they publish no checksum."""

HSEMOTION_B2 = WeightFile("enet_b2_8.onnx", HSEMOTION.source)
"""The larger network of the same authors, for a loss beside HSEmotion as the metric or the other way round."""

SYNCNET = WeightFile("syncnet_v2.model", "http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model")
"""Video against audio (Chung & Zisserman 2016). A third party's page gives 54,573,114 bytes and the SHA-256
961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442; its authors give none, so none is checked."""

INCEPTION = WeightFile(
    "weights-inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "6726825d",
)
"""FID's own Inception, as torch-fidelity converted it."""

ALEXNET = WeightFile(
    "alexnet-owt-7be5be79.pth", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "7be5be79"
)
"""What LPIPS looks through."""

VGG16 = WeightFile("vgg16-397923af.pth", "https://download.pytorch.org/models/vgg16-397923af.pth", "397923af")
"""The perceptual loss's network (Simonyan and Zisserman 2015)."""

VIDEOMAE = WeightFile("videomae-base/model.safetensors", "https://huggingface.co/MCG-NJU/videomae-base")
"""FVD's network (Tong et al. 2022), in Hugging Face's layout with its config.json."""

DEEP3D = WeightFile("epoch_20.pth", "https://github.com/sicxu/Deep3DFaceRecon_pytorch#prepare-prerequisite-models")
"""Deep3DFaceRecon's checkpoint."""

BASEL = WeightFile(
    "BFM_model_front.mat", "Basel Face Model 2009 as packed by Deep3DFaceRecon; needs a licence from Basel"
)
"""The face model of Deep3DFaceRecon's coefficients."""

PUBLISHED = (
    *(LANDMARKER, SFACE, HSEMOTION, SYNCNET, INCEPTION, ALEXNET),
    *(ARCFACE, HSEMOTION_B2, VGG16, VIDEOMAE, DEEP3D, BASEL),
)
