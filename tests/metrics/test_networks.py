"""Networks by name, and published ones against their packages on random weights in the layout of the files."""

from pathlib import Path

import lpips
import numpy as np
import pytest
import torch
from onnx_writer import emotion_network
from test_suite import Pooled
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from conventions.errors import UserError
from conventions.weights import WeightFile
from metrics import published
from metrics.backbones import inception
from metrics.backbones import lpips as lpips_backbone
from metrics.backbones.protocols import IMAGENET_DEVIATION, IMAGENET_MEAN
from metrics.networks import Networks, load_networks
from metrics.protocol import OPTIONAL, USES
from metrics.published import LOSS_ROLES, METRIC_ROLES, NETWORKS, Entry, check_networks, digests, refuse_shared

RANDOM = np.random.default_rng(0)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder with an emotion network alone."""
    monkeypatch.delenv("EMOSPACE_WEIGHTS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    network = emotion_network(RANDOM.normal(size=(3, 1280)), RANDOM.normal(size=(1280, 8)), RANDOM.normal(size=8))
    (tmp_path / "enet_b0_8_best_vgaf.onnx").write_bytes(network)
    return tmp_path


class Own:
    """A user's network without a file."""

    name, stand_in = "own", False

    def embed(self, images: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


def test_every_role_has_a_default_that_can_be_imported_and_names_its_file() -> None:
    assert set(NETWORKS) == {*METRIC_ROLES, *LOSS_ROLES} == {*USES, "perceptual"}
    for role, registry in NETWORKS.items():
        for name in registry.known:
            made = Entry(role, name).make()
            assert isinstance(made.file, WeightFile)
            assert made.name


def test_what_is_missing_is_one_line_that_names_the_file_and_the_way_round(weights: Path) -> None:
    with pytest.raises(UserError) as error:
        check_networks("published", weights)
    line = str(error.value)
    assert line.startswith("landmarks network is missing: face_landmarker.task: not found in ")
    assert "`emospace doctor --fetch face_landmarker.task` downloads it" in line
    assert line.endswith("; or use --networks standin")
    assert "\n" not in line
    check_networks("standin", weights)
    check_networks({role: "standin" for role in METRIC_ROLES if role != "emotion"} | {"emotion": "hsemotion"}, weights)


def test_a_mapping_needs_only_the_networks_that_it_names(weights: Path) -> None:
    check_networks({"emotion": "hsemotion"}, weights)
    with pytest.raises(UserError, match="identity network is missing"):
        check_networks({"emotion": "hsemotion", "identity": "published"}, weights)


def test_extra_metrics_may_be_missing_unless_they_are_named(weights: Path) -> None:
    rest = {role: "standin" for role in METRIC_ROLES if role not in {*OPTIONAL, "emotion"}}
    check_networks(rest, weights)
    with pytest.raises(UserError, match=r"fvd network is missing: videomae-base/model\.safetensors"):
        check_networks({**rest, "fvd": "videomae"}, weights)


@pytest.mark.parametrize(
    ("choice", "line"),
    [
        ("publshed", "networks: 'publshed' is not a choice; did you mean 'published'"),
        ({"identty": "sface"}, "role 'identty' is unknown; did you mean 'identity'"),
        ({"identity": "sfce"}, "identity network 'sfce' is unknown; did you mean 'sface'"),
        ({"identity": "/nowhere/face.onnx"}, r"/nowhere/face\.onnx: no such file \(network in the role identity\)"),
        ({"identity": "no.such.module:Face"}, "identity network 'no.such.module:Face': cannot be imported"),
    ],
)
def test_a_wrong_choice_is_one_line(choice: str | dict[str, str], line: str, weights: Path) -> None:
    rest = dict.fromkeys(METRIC_ROLES, "standin")
    with pytest.raises(UserError, match=line):
        check_networks(choice if isinstance(choice, str) else {**rest, **choice}, weights)


def test_names_paths_import_paths_and_judges_stand_side_by_side(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Pooled()

    class Judges:
        landmark = emotion = identity = sync = Own()

    monkeypatch.setattr(Networks, "from_judges", classmethod(lambda cls, judges: cls(**dict.fromkeys(USES, judge))))
    other = weights / "other.onnx"
    (weights / "enet_b0_8_best_vgaf.onnx").rename(other)
    choice = {**dict.fromkeys(METRIC_ROLES, "standin"), "emotion": str(other), "identity": f"{__name__}:Own"}
    networks = load_networks(choice, weights, judges=Judges())
    assert networks.emotion is not None
    assert networks.emotion.name == "HSEmotion (enet_b0_8_best_vgaf)"
    assert isinstance(networks.identity, Own)
    assert networks.landmarks is judge
    assert networks.digests == digests(choice, weights)
    assert set(networks.digests) == {"emotion"}
    assert published.needs_judges(choice)
    with pytest.raises(UserError, match="stand-ins are trained by a run"):
        load_networks(choice, weights)


def test_an_incomplete_choice_says_what_would_bring_the_rest(weights: Path) -> None:
    networks = load_networks("published", weights, complete=False)
    assert set(networks.names) == {"emotion"}
    assert set(networks.missing) == set(USES) - {"emotion"}
    assert "syncnet_v2.model" in networks.missing["sync"]
    assert networks.stand_ins == set()


def test_a_loss_and_a_metric_do_not_share_a_network(weights: Path) -> None:
    with pytest.raises(UserError, match=r"losses\.networks: identity: sface is also the metric's identity network"):
        refuse_shared("published", "published", weights)
    refuse_shared("standin", "published", weights)
    refuse_shared("published", "standin", weights)
    with pytest.raises(UserError, match=r"losses\.networks: sync: syncnet is also the metric's sync network"):
        refuse_shared({"sync": "syncnet", "identity": "standin", "emotion": "standin"}, "published", weights)
    refuse_shared({"identity": "arcface", "emotion": "hsemotion_b2", "sync": "standin"}, "published", weights)
    path = str(weights / "enet_b0_8_best_vgaf.onnx")
    with pytest.raises(UserError, match=r"emotion: .*is also the metric's emotion network"):
        refuse_shared({"identity": "standin", "emotion": path, "sync": "standin"}, "published", weights)


def test_loss_networks_are_frozen_modules_with_gradients_to_the_images(weights: Path) -> None:
    choice = {"identity": "standin", "perceptual": "standin", "emotion": "hsemotion", "sync": "standin"}
    found = published.load_loss_networks(choice, weights)
    assert list(found) == ["emotion"]
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    landmarks = torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    found["emotion"].features(images, landmarks).square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert not list(found["emotion"].parameters())
    assert not found["emotion"].state_dict(), "no checkpoint holds what the file holds"


@pytest.mark.slow
def test_vgg_maps_are_torchvisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import vgg16

    from metrics.backbones import vgg

    torch.manual_seed(0)
    network = vgg16(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "vgg.pth")
    monkeypatch.setattr(vgg.VGGFeatures, "file", WeightFile("vgg.pth", "nowhere"))
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    maps = vgg.VGGFeatures(tmp_path / "vgg.pth")(images)
    x = ((images + 1) / 2 - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_DEVIATION)[
        :, None, None
    ]
    expected = [network.features[: layer + 1](x) for layer in vgg.LAYERS]
    torch.testing.assert_close(maps, expected)
    maps[-1].sum().backward()
    assert images.grad is not None
    torch.save({**network.state_dict(), "features.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    with pytest.raises(UserError, match=r"vgg\.pth: tensor 'features\.0\.weight' has shape"):
        vgg.VGGFeatures(tmp_path / "vgg.pth")


@pytest.mark.parametrize("size", [(64, 48), (299, 299), (360, 500)])
def test_resize_is_tensorflows(size):
    images = torch.randint(0, 256, (2, 3, *size), generator=torch.Generator().manual_seed(0)).float()
    expected = interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    torch.testing.assert_close(inception.tensorflow_resize(images, 299), expected, atol=1e-3, rtol=1e-5)


@pytest.mark.slow
def test_inception_features_are_those_of_torch_fidelity(tmp_path, monkeypatch):
    torch.manual_seed(0)
    state = inception.empty_inception().state_dict()
    for name, tensor in state.items():
        if tensor.ndim == 4:
            state[name] = torch.randn_like(tensor) * (2 / tensor[0].numel()) ** 0.5
    torch.save(state, tmp_path / "inception.pth")
    monkeypatch.setattr(inception, "INCEPTION", WeightFile("inception", "nowhere"))
    reference = FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=tmp_path / "inception.pth")
    pixels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    (expected,) = reference(pixels)
    found = inception.FIDInception(tmp_path / "inception.pth").features(pixels.float() / 127.5 - 1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().mean()))


def test_inception_without_its_file_says_where_to_get_it(tmp_path):
    with pytest.raises(UserError, match=r"no such file; get weights-inception.*torch-fidelity"):
        inception.FIDInception(tmp_path / "absent.pth")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*pretrained|.*weight enum")
def test_lpips_takes_alexnet_from_torchvisions_file(tmp_path, monkeypatch):
    from torchvision.models import alexnet

    torch.manual_seed(0)
    source = alexnet(weights=None)
    torch.save({f"features.{k}": v for k, v in source.features.state_dict().items()}, tmp_path / "alexnet.pth")
    with pytest.raises(UserError, match="expected 7be5be79"):
        lpips_backbone.AlexLPIPS(tmp_path / "alexnet.pth")
    monkeypatch.setattr(lpips_backbone, "ALEXNET", WeightFile("alexnet", "nowhere"))
    backbone = lpips_backbone.AlexLPIPS(tmp_path / "alexnet.pth")
    reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    for index, layer in enumerate(source.features):
        for part in range(1, 6):
            named = dict(getattr(reference.net, f"slice{part}").named_children())
            if str(index) in named:
                named[str(index)].load_state_dict(layer.state_dict())
    a, b = torch.rand(2, 2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(backbone.distance(a, b), reference(a, b).flatten())
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="not AlexNet's weights"):
        lpips_backbone.AlexLPIPS(tmp_path / "other.pth")
