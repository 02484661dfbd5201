"""Inception and LPIPS against the packages that published them, on random weights in the published files' layout."""

import lpips
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from conventions.errors import UserError
from conventions.weights import WeightFile
from metrics.backbones import inception
from metrics.backbones import lpips as lpips_backbone


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
