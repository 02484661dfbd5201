"""ONNX files written field by field as onnx.proto numbers them: what the published files' makers export, in small."""

import numpy as np


def field(number: int, value: int | str | bytes) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    more = value >> 7
    return bytes([value & 127 | 128 * bool(more)]) + (varint(more) if more else b"")


def tensor(name: str, values: np.ndarray) -> bytes:
    """A TensorProto of float32."""
    dims = b"".join(field(1, size) for size in values.shape)
    return dims + field(2, 1) + field(8, name) + field(9, values.astype("<f4").tobytes())


def declared(name: str, shape: tuple[int | str, ...]) -> bytes:
    """A ValueInfoProto of float32; a size that is a word may be any."""
    dims = b"".join(field(1, field(1 if isinstance(size, int) else 2, size)) for size in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


def node(kind: str, inputs: tuple[str, ...], output: str) -> bytes:
    """A NodeProto without attributes."""
    return b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, kind)


def emotion_network(features: np.ndarray, classifier: np.ndarray, bias: np.ndarray, size: int = 224) -> bytes:
    """Mean colours [3] by `features` [3, d], and of those a class by `classifier` [d, c]: `input` to `output`."""
    nodes = [
        node("GlobalAveragePool", ("input",), "pooled"),
        node("Flatten", ("pooled",), "colours"),
        node("MatMul", ("colours", "features"), "545"),
        node("Gemm", ("545", "classifier.weight", "classifier.bias"), "output"),
    ]
    weights = {"features": features, "classifier.weight": classifier, "classifier.bias": bias}
    graph = [
        *(field(1, part) for part in nodes),
        field(2, "torch-jit-export"),
        *(field(5, tensor(name, values)) for name, values in weights.items()),
        field(11, declared("input", ("batch_size", 3, size, size))),
        field(12, declared("output", ("batch_size", classifier.shape[1]))),
    ]
    return field(1, 6) + field(7, b"".join(graph)) + field(8, field(2, 11))
