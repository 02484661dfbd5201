"""Deep3DFaceRecon's network: its checkpoint's layout, and stores as from a `.mat` of its own."""

import functools
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from torch.nn import functional as F
from torchvision.models import resnet50

from conventions.errors import UserError
from conventions.weights import LANDMARKER
from datamodules import clip_face, deep3d
from datamodules.prepare import prepare
from datamodules.store import Store
from datamodules.video import iterate_frames, read_video
from datamodules.video_writer import write_video
from face3d.coefficients import split
from face3d.keypoints import STANDARD_FIVE
from face3d.landmarker import Landmarker

Clip = Callable[..., None]
State = dict[str, torch.Tensor]
HEADS = (80, 64, 80, 3, 27, 2, 1)


@functools.cache
def official_shapes() -> dict[str, tuple[int, ...]]:
    """The official layout: torchvision's names under `backbone`, then seven 1 x 1 convolutions."""
    with torch.device("meta"):
        body = resnet50(weights=None).state_dict()
    shapes = {f"backbone.{name}": tuple(value.shape) for name, value in body.items() if not name.startswith("fc.")}
    for index, count in enumerate(HEADS):
        shapes |= {f"final_layers.{index}.weight": (count, 2048, 1, 1), f"final_layers.{index}.bias": (count,)}
    return shapes


def blank_state() -> State:
    """Zeros in the official layout that take a few bytes each in a file."""
    return {name: torch.zeros(()).expand(shape) for name, shape in official_shapes().items()}


def random_tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if len(shape) == 4:
        return torch.randn(shape) * (2 / np.prod(shape[1:])) ** 0.5
    return 0.1 * torch.randn(shape) + float(name.endswith(("running_var", "weight")))


def training_states() -> dict[str, Any]:
    """What Deep3DFaceRecon saves beside the network."""
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    return {"opt_00": optimizer.state_dict(), "sched_00": scheduler.state_dict()}


@pytest.fixture(scope="session")
def state() -> State:
    """A random network in the official layout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {name: random_tensor(name, shape) for name, shape in official_shapes().items()}


@pytest.fixture(scope="session")
def checkpoint(state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with that network under its official name."""
    folder = tmp_path_factory.mktemp("deep3d")
    torch.save({"net_recon": state, **training_states()}, folder / "epoch_20.pth")
    return folder


@pytest.fixture(scope="session")
def network(checkpoint: Path) -> deep3d.Deep3DNetwork:
    return deep3d.open_network(deep3d.identify(checkpoint / "epoch_20.pth"))


def by_torchvision(state: State, pictures: np.ndarray) -> np.ndarray:
    """Coefficients by torchvision's own network and plain convolutions."""
    with torch.device("meta"):
        body = resnet50(weights=None)
    body.to_empty(device="cpu")
    named = {name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")}
    assert set(body.load_state_dict(named, strict=False).missing_keys) == {"fc.weight", "fc.bias"}
    trunk = torch.nn.Sequential(*list(body.eval().children())[:-1])
    layers = [(state[f"final_layers.{index}.weight"], state[f"final_layers.{index}.bias"]) for index in range(7)]
    with torch.no_grad():
        features = trunk(torch.tensor(pictures).permute(0, 3, 1, 2) / 255.0)
        return torch.cat([F.conv2d(features, *layer) for layer in layers], dim=1)[:, :, 0, 0].numpy()


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.slow
def test_a_checkpoint_of_the_official_layout_measures_as_torchvision_does(
    network: deep3d.Deep3DNetwork, state: State
) -> None:
    pictures = noise(0, 2, 224, 224, 3)
    measured = deep3d.measure(network, pictures)
    assert measured.shape == (2, 257)
    assert measured.dtype == np.float32
    np.testing.assert_allclose(measured, by_torchvision(state, pictures), rtol=1e-3, atol=1e-4)
    assert np.abs(measured[0] - measured[1]).max() > 1e-2, "the pictures are seen"
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_official_layout_is_read_and_its_heads_lie_where_ours_do(tmp_path: Path) -> None:
    """A network of zeros but for its last biases, a number for each head, gives identity, expression, texture ..."""
    biases = {f"final_layers.{index}.bias": torch.full((count,), index + 1.0) for index, count in enumerate(HEADS)}
    torch.save({"net_recon": blank_state() | biases, **training_states()}, tmp_path / "mine.pth")
    network = deep3d.open_network(deep3d.identify(tmp_path / "mine.pth"))
    parts = split(torch.from_numpy(deep3d.measure(network, noise(2, 1, 224, 224, 3))))
    whole = (parts.identity, parts.expression, parts.texture, parts.angle, parts.gamma)
    assert all((part == index).all() for index, part in enumerate(whole, 1))
    assert parts.translation.tolist() == [[6, 6, 7]]


def without(state: State) -> object:
    return {"net_recon": {name: value for name, value in state.items() if name != "final_layers.1.bias"}}


def with_classes(state: State) -> object:
    return {"net_recon": state | {"backbone.fc.weight": torch.zeros(())}}


def narrower(state: State) -> object:
    return {"net_recon": state | {"final_layers.1.weight": torch.zeros(()).expand(79, 2048, 1, 1)}}


def undefined(state: State) -> object:
    return {"net_recon": state | {"backbone.bn1.weight": torch.full((64,), torch.nan)}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (without, r"tensor 'final_layers\.1\.bias' is missing"),
        (with_classes, r"tensor 'backbone\.fc\.weight' is unknown"),
        (narrower, r"'final_layers\.1\.weight' has shape \(79, 2048, 1, 1\), expected \(64, 2048, 1, 1\)"),
        (undefined, r"'backbone\.bn1\.weight' has values that are not finite"),
        (lambda state: state, r"has no net_recon of tensors \(it contains backbone\.bn1\.bias"),
        (lambda state: {"net_recon": {"conv": [1, 2]}}, "has no net_recon of tensors"),
        (lambda state: [1, 2], "holds a list, expected a state dict"),
        (
            lambda state: {"net_recon": state, "opt_00": Path("/")},
            r"no plain PyTorch tensors .*https://github.com/sicxu",
        ),
    ],
)
def test_another_file_is_one_clear_line(tmp_path: Path, content: Callable[[State], object], words: str) -> None:
    torch.save(content(blank_state()), tmp_path / "mine.pth")
    with pytest.raises(UserError, match=rf"mine\.pth: .*{words}") as error:
        deep3d.open_network(deep3d.identify(tmp_path / "mine.pth"))
    assert "\n" not in str(error.value)


def test_the_checkpoint_is_found_by_path_folder_and_weights(tmp_path: Path) -> None:
    (tmp_path / "epoch_20.pth").touch()
    for path, weights in ((tmp_path / "epoch_20.pth", None), (tmp_path, None), (None, tmp_path)):
        assert deep3d.find_checkpoint(path, weights) == tmp_path / "epoch_20.pth"
    empty = tmp_path / "empty"
    empty.mkdir()
    for path, weights in ((None, empty), (empty, tmp_path), (empty / "epoch_20.pth", tmp_path)):
        with pytest.raises(UserError, match=r"epoch_20\.pth.*https://github\.com/sicxu"):
            deep3d.find_checkpoint(path, weights)
    with pytest.raises(UserError, match=r"--deep3d names the file itself"):
        deep3d.find_checkpoint(None, empty)


class StillFace(Landmarker):
    """Sees one face that drifts to the right; none in the images of `hidden`."""

    def __init__(self, hidden: bool = False) -> None:
        self._hidden, self._calls = hidden, 0

    def detect(self, picture: np.ndarray) -> list[np.ndarray]:
        self._calls += 1
        return [] if self._hidden else [face_at(self._calls % 12)]


def face_at(frame: int) -> np.ndarray:
    """Landmarks of a frame, 0 to 1: the standard face's five points among others."""
    points = np.random.default_rng(0).uniform(0.3, 0.7, (68, 2))
    for index, point in {36: 0, 39: 0, 42: 1, 45: 1, 30: 2, 48: 3, 54: 4}.items():
        points[index] = 0.5 + STANDARD_FIVE[point, :2] * [0.4, -0.4]
    points[:, 0] += 0.003 * frame
    return points.astype(np.float32)


class Colours(deep3d.Deep3DNetwork):
    """Stands in where the network's seconds would be felt: mean colours of 257 parts of what it is shown."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        assert pictures.shape[1:] == (3, 224, 224)
        assert len(pictures) <= clip_face.NETWORK_BATCH
        return F.adaptive_avg_pool2d(pictures, (10, 10)).flatten(1)[:, :257].contiguous()


def test_the_network_sees_red_green_blue_from_0_to_1() -> None:
    red = np.zeros((1, 224, 224, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_array_equal(deep3d.measure(Colours(), red), [[1.0] * 100 + [0.0] * 157])


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A face without a detector and a network without weights; the folder of both files."""
    monkeypatch.setattr(clip_face, "_landmarker", lambda weights: StillFace())
    stand_in = functools.lru_cache(lambda checkpoint: Colours())
    for module in ("clip_face", "prepare"):
        monkeypatch.setattr(f"datamodules.{module}.open_network", stand_in)
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / LANDMARKER.name).touch()
    (folder / "epoch_20.pth").write_bytes(b"one")
    return folder


def by_published_steps(video: Path, network: deep3d.Deep3DNetwork) -> dict[str, np.ndarray]:
    """What Deep3DFaceRecon would write to a `.mat`: the whole image resized and cut, all frames at once."""
    params, pictures = [], []
    for number, frame in enumerate(iterate_frames(video)):
        picture = frame.rgb()
        height, width = picture.shape[:2]
        landmarks = face_at((number + 1) % 12) * np.array([width, height], np.float32)
        params.append(deep3d.transform_params(landmarks[None], width, height)[0])
        pictures.append(deep3d.cut_frame(picture, (0, 0), params[-1]))
    parts = [deep3d.measure(network, np.stack(pictures[i : i + 5])) for i in range(0, len(pictures), 5)]
    return {"coeff": np.concatenate(parts), "transform_params": np.stack(params)}


def same_as_from_its_mat(raw: Path, folder: Path, network: deep3d.Deep3DNetwork, **options: Path) -> Store:
    """Prepare with the network and from the `.mat` that it would have written: all but landmarks must agree."""
    prepare(raw, folder / "deep3d", coefficients="deep3d", size=32, **options)  # type: ignore[arg-type]
    for video in raw.glob("*.mp4"):
        scipy.io.savemat(video.with_suffix(".mat"), by_published_steps(video, network))
    prepare(raw, folder / "mat", coefficients="mat", size=32, look=False)
    measured, read = Store(folder / "deep3d"), Store(folder / "mat")
    assert measured.coefficient_model == read.coefficient_model == "bfm09"
    for name in ("frames.bin", "placement.npy"):
        both = (
            {file.parent.name.rpartition("-")[0]: file for file in store.path.rglob(name)} for store in (measured, read)
        )
        one, other = both
        assert one.keys() == other.keys()
        assert all(one[shard].read_bytes() == other[shard].read_bytes() for shard in one)
    np.testing.assert_allclose(measured.coefficients[:], read.coefficients[:], rtol=1e-3, atol=1e-3)
    return measured


def test_the_store_is_as_from_a_mat_of_deep3d(tmp_path: Path, clip: Clip, weights: Path) -> None:
    for name, frames in (("one", 12), ("two", 20)):
        clip(tmp_path / "raw" / name, frames, mat=False)
    store = same_as_from_its_mat(tmp_path / "raw", tmp_path, Colours(), weights=weights)
    assert store.coefficients[:].std() > 0
    assert all(item.has_landmarks and item.has_coefficients for item in store.clips)


def test_a_broken_run_is_finished_by_the_next_and_the_checkpoint_is_remembered(
    tmp_path: Path, clip: Clip, weights: Path
) -> None:
    def stop_at_one(_: object) -> None:
        raise KeyboardInterrupt

    for name in ("one", "two"):
        clip(tmp_path / "raw" / name, 12, mat=False)
    run = functools.partial(prepare, tmp_path / "raw", coefficients="deep3d", size=32, weights=weights)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "store", progress=stop_at_one)
    assert run(tmp_path / "store").prepared == 1
    whole = run(tmp_path / "whole")
    assert whole.hash == Store(tmp_path / "store").hash
    assert "network" in whole.stage_seconds
    origin = Store(tmp_path / "store").manifest["origin"]
    assert origin["deep3d"] == deep3d.identify(weights / "epoch_20.pth").sha256
    assert run(tmp_path / "store").prepared == 0
    (weights / "epoch_20.pth").write_bytes(b"two")
    assert run(tmp_path / "store").prepared == 2
    assert Store(tmp_path / "store").manifest["origin"]["deep3d"] != origin["deep3d"]


def test_a_clip_without_a_face_has_its_reason(
    tmp_path: Path, clip: Clip, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip(tmp_path / "raw" / "talk", 12, mat=False)
    monkeypatch.setattr(clip_face, "_landmarker", lambda weights: StillFace(hidden=True))
    with pytest.raises(UserError, match=r"1 of 1 clips cannot be used \(no_face 1\)"):
        prepare(tmp_path / "raw", tmp_path / "store", coefficients="deep3d", size=32, weights=weights)


def test_nothing_begins_without_the_right_checkpoint(tmp_path: Path, raw: Path) -> None:
    (tmp_path / LANDMARKER.name).touch()
    (tmp_path / "wrong.pth").write_bytes(b"no network")
    for options, words in (
        ({"coefficients": "deep3d"}, r"epoch_20\.pth: not found in .*get it from https://github\.com/sicxu"),
        ({"coefficients": "deep3d", "deep3d": tmp_path / "wrong.pth"}, r"wrong\.pth: no plain PyTorch tensors"),
        (
            {"coefficients": "mat", "deep3d": tmp_path / "wrong.pth"},
            r"--coefficients deep3d only, not with mat",
        ),
    ):
        with pytest.raises(UserError, match=words):
            prepare(raw, tmp_path / "store", weights=tmp_path, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_with_a_checkpoint_of_the_official_layout(
    tmp_path: Path,
    clip: Clip,
    weights: Path,
    checkpoint: Path,
    network: deep3d.Deep3DNetwork,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("clip_face", "prepare"):
        monkeypatch.setattr(f"datamodules.{module}.open_network", deep3d.open_network)
    clip(tmp_path / "raw" / "talk", 12, mat=False)
    same_as_from_its_mat(tmp_path / "raw", tmp_path, network, weights=weights, deep3d=checkpoint)


@pytest.mark.slow
@pytest.mark.real
def test_real_clips_killed_and_finished_by_two_workers(
    real_data: Path, real_weights: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """SIGKILL in the middle, then two workers: the bytes of an unbroken run of one."""
    (tmp_path / "raw").mkdir()
    for video in sorted((real_data / "mead_styles").glob("*.mp4"))[:3]:
        write_video(tmp_path / "raw" / video.name, read_video(video, 16))
    run = functools.partial(prepare, tmp_path / "raw", coefficients="deep3d", weights=real_weights, deep3d=checkpoint)
    code = "import sys; from pathlib import Path; from datamodules.prepare import prepare; "
    code += "raw, store, weights, network = map(Path, sys.argv[1:]); "
    code += "prepare(raw, store, coefficients='deep3d', weights=weights, deep3d=network)"
    arguments = [str(path) for path in (tmp_path / "raw", tmp_path / "killed", real_weights, checkpoint)]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=Path(__file__).parents[2])
    while process.poll() is None and not list((tmp_path / "killed").glob(".parts/*.npz")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 1 <= run(tmp_path / "killed", workers=2).prepared < 3
    assert run(tmp_path / "whole", workers=1).left_out == {}
    assert Store(tmp_path / "killed").hash == Store(tmp_path / "whole").hash
