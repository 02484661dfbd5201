"""ONNX files carried out by torch against ONNX Runtime: every kind of layer that the published networks have."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx_writer import declared, field, node, tensor

from conventions.errors import UserError
from metrics.backbones.onnx_torch import OnnxModule

RANDOM = np.random.default_rng(0)


def ints(name: str, values: list[int]) -> bytes:
    return field(5, field(1, name) + b"".join(field(8, value) for value in values) + field(20, 7))


def number(name: str, value: int) -> bytes:
    return field(5, field(1, name) + field(3, value) + field(20, 2))


def int8(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(field(1, size) for size in values.shape)
    return dims + field(2, 3) + field(8, name) + field(9, values.astype(np.int8).tobytes())


def int64(name: str, values: list[int]) -> bytes:
    return field(1, len(values)) + field(2, 7) + field(8, name) + field(9, np.array(values, "<i8").tobytes())


def model(nodes: list[bytes], weights: list[bytes], output: str, width: int) -> bytes:
    graph = [
        *(field(1, part) for part in nodes),
        field(2, "graph"),
        *(field(5, part) for part in weights),
        field(11, declared("input", ("n", 3, 12, 10))),
        field(12, declared(output, ("n", width))),
    ]
    return field(1, 10) + field(7, b"".join(graph)) + field(8, field(2, 21))


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Convolutions (strided, padded unevenly, by channel), batch norm, PReLU, swish, int8 weights in blocks, dense."""
    random = lambda *shape: RANDOM.normal(size=shape).astype(np.float32)  # noqa: E731
    quantised = RANDOM.integers(-100, 100, (8, 16))
    nodes = [
        node("Conv", ("input", "w1", "b1"), "c1")
        + ints("strides", [2, 1]) + ints("pads", [0, 1, 1, 2]) + ints("kernel_shape", [3, 3]),
        node("BatchNormalization", ("c1", "gamma", "beta", "mean", "variance"), "n1"),
        node("PRelu", ("n1", "slope"), "p1"),
        node("Conv", ("p1", "w2"), "c2") + ints("pads", [1, 1, 1, 1]) + number("group", 4)
        + ints("kernel_shape", [3, 3]),
        node("Sigmoid", ("c2",), "s2"),
        node("Mul", ("c2", "s2"), "swish"),
        node("GlobalAveragePool", ("swish",), "pooled"),
        node("Flatten", ("pooled",), "flat"),
        node("MatMul", ("flat", "w3"), "m3"),
        node("Add", ("m3", "b3"), "a3"),
        node("DequantizeLinear", ("q4", "scale4", "zero4"), "dq") + number("axis", 1) + number("block_size", 8),
        node("Reshape", ("dq", "shape4"), "w4"),
        node("Gemm", ("a3", "w4", "b4"), "output") + number("transB", 1),
    ]  # fmt: skip
    weights = [
        tensor("w1", random(4, 3, 3, 3)), tensor("b1", random(4)), tensor("gamma", random(4)),
        tensor("beta", random(4)), tensor("mean", random(4)), tensor("variance", abs(random(4)) + 0.5),
        tensor("slope", random(4, 1, 1)), tensor("w2", random(4, 1, 3, 3)), tensor("w3", random(4, 16)),
        tensor("b3", random(16)), int8("q4", quantised), tensor("scale4", abs(random(8, 2)) / 50),
        int8("zero4", RANDOM.integers(-5, 5, (8, 2))), int64("shape4", [8, 16]), tensor("b4", random(8)),
    ]  # fmt: skip
    path = tmp_path / "network.onnx"
    path.write_bytes(model(nodes, weights, "output", 8))
    return path


def test_outputs_are_those_of_onnx_runtime_for_any_number_of_pictures(network: Path) -> None:
    images = RANDOM.normal(size=(5, 3, 12, 10)).astype(np.float32)
    expected = onnxruntime.InferenceSession(str(network)).run(None, {"input": images})[0]
    module = OnnxModule(network, "the test")
    np.testing.assert_allclose(module(torch.from_numpy(images)), expected, atol=1e-4)
    np.testing.assert_allclose(module(torch.from_numpy(images[:2])), expected[:2], atol=1e-4)
    given, output = module.input_of_last(torch.from_numpy(images))
    assert given.shape == (5, 16)
    np.testing.assert_allclose(output, expected, atol=1e-4)


def test_gradients_are_those_of_finite_differences(network: Path) -> None:
    module = OnnxModule(network, "the test").double()
    images = torch.from_numpy(RANDOM.normal(size=(1, 3, 12, 10)))
    images.requires_grad_()
    assert torch.autograd.gradcheck(module, images, fast_mode=True)
    assert not list(module.parameters())


def test_what_is_not_read_here_is_one_line(network: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(network.read_bytes().replace(b"Sigmoid", b"Sigmoix"))
    with pytest.raises(UserError, match=r"other\.onnx: is not a supported ONNX network \(unknown layer Sigmoix\)"):
        OnnxModule(path, "the test")
