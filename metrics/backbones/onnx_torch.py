"""ONNX networks as torch modules: the file's graph carried out with torch's own operations, with gradients, in batches.

One port serves every published network that comes as ONNX: SFace (int8 weights in blocks) and HSEmotion. Tests compare
it with ONNX Runtime.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from conventions.errors import UserError
from metrics.backbones.onnx_files import attributes_of, read_graph, tensor_of

Inputs = list[Any]
Attributes = dict[str, Any]


class _Node(NamedTuple):
    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: Attributes


class OnnxModule(nn.Module):
    """The graph of a file; weights are frozen buffers that no checkpoint holds, as the file holds them already.

    The number of images may be any, whatever the file declares. `input_of_last` returns what the last layer is given
    beside its output.
    """

    def __init__(self, path: Path, purpose: str) -> None:
        super().__init__()
        graph = read_graph(path, purpose)
        self._path = path
        self._values: dict[str, str] = {}
        try:
            weights = {message.name: tensor_of(message) for message in graph.initializer}
            nodes = [_Node(n.op_type, tuple(n.input), n.output[0], attributes_of(n)) for n in graph.node]
            self.nodes = _without_constants(nodes, weights)
        except (ValueError, IndexError, RuntimeError) as error:
            raise UserError(f"{path}: is not a supported ONNX network ({error})") from error
        self.input = next((value.name for value in graph.input if value.name not in weights), "")
        self.output = graph.output[0].name
        self._done = _last_uses(self.nodes, {self.output, self.nodes[-1].inputs[0]} if self.nodes else set())
        used = {name for node in self.nodes for name in node.inputs}
        for index, name in enumerate(sorted(used & weights.keys())):
            value = weights[name].float() if weights[name].is_floating_point() else weights[name]
            value = value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
            self.register_buffer(f"w{index}", value, persistent=False)
            self._values[name] = f"w{index}"
        if unknown := sorted({node.kind for node in self.nodes} - OPERATIONS.keys()):
            raise UserError(f"{path}: is not a supported ONNX network (unknown layer {unknown[0]})")

    @property
    def last(self) -> str:
        """Kind of the last layer."""
        return self.nodes[-1].kind

    def forward(self, images: Tensor) -> Tensor:
        """The network's output."""
        return self._run(images)[self.output]

    def input_of_last(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What the last layer is given, and the network's output."""
        values = self._run(images)
        return values[self.nodes[-1].inputs[0]], values[self.output]

    def _run(self, images: Tensor) -> dict[str, Tensor]:
        values = {name: getattr(self, buffer) for name, buffer in self._values.items()}
        values[self.input] = images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images
        for node, done in zip(self.nodes, self._done, strict=True):
            inputs = [values.get(name) for name in node.inputs]
            values[node.output] = OPERATIONS[node.kind](inputs, node.attributes)
            for name in done:
                del values[name]
        return values


def _without_constants(nodes: list[_Node], weights: dict[str, Tensor]) -> list[_Node]:
    """The nodes that depend on the input; the results of the others join `weights`."""
    left = []
    for node in nodes:
        if node.kind in OPERATIONS and all(name in weights for name in node.inputs if name):
            weights[node.output] = OPERATIONS[node.kind]([weights.get(name) for name in node.inputs], node.attributes)
        else:
            left.append(node)
    return left


def _three(inputs: Inputs) -> Inputs:
    """Three inputs, the last of which may be left out."""
    return [*inputs, None][:3]


def _last_uses(nodes: list[_Node], kept: set[str]) -> list[list[str]]:
    """After each node the values that no later one needs: to hold all of them would take gigabytes."""
    last = {name: index for index, node in enumerate(nodes) for name in node.inputs if name}
    done: list[list[str]] = [[] for _ in nodes]
    for name, index in last.items():
        if name not in kept:
            done[index].append(name)
    return done


def _pads(attributes: Attributes, dimensions: int) -> list[int]:
    """Padding in the order of `F.pad`: the last dimension first, before and after."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise ValueError(f"auto_pad {attributes['auto_pad']!r} is not supported")
    pads = list(attributes.get("pads", [0] * 2 * dimensions))
    begins, ends = pads[:dimensions], pads[dimensions:]
    return [side for pair in zip(reversed(begins), reversed(ends), strict=True) for side in pair]


def _convolution(inputs: Inputs, attributes: Attributes) -> Tensor:
    images, weight, bias = _three(inputs)
    dimensions = weight.ndim - 2
    pads = _pads(attributes, dimensions)
    even = pads[::2] == pads[1::2]
    images = images if even else F.pad(images, pads)
    padding = pads[::-2] if even else 0
    apply: Callable[..., Tensor] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[dimensions]
    one = [1] * dimensions
    strides, dilations = list(attributes.get("strides", one)), list(attributes.get("dilations", one))
    groups = attributes.get("group", 1)
    return apply(images, weight, bias, stride=strides, padding=padding, dilation=dilations, groups=groups)


def _batch_norm(inputs: Inputs, attributes: Attributes) -> Tensor:
    images, scale, bias, mean, variance = inputs
    return F.batch_norm(images, mean, variance, scale, bias, False, 0.0, attributes.get("epsilon", 1e-5))


def _prelu(inputs: Inputs, _: Attributes) -> Tensor:
    images, slope = inputs
    if slope.numel() in (1, images.shape[1]):
        return F.prelu(images, slope.flatten())
    return images.clamp(min=0) + images.clamp(max=0) * slope


def _gemm(inputs: Inputs, attributes: Attributes) -> Tensor:
    a, b, bias = _three(inputs)
    a = a.T if attributes.get("transA", 0) else a
    b = b.T if attributes.get("transB", 0) else b
    product = attributes.get("alpha", 1.0) * (a @ b)
    return product if bias is None else product + attributes.get("beta", 1.0) * bias


def _dequantise(inputs: Inputs, attributes: Attributes) -> Tensor:
    """(x - zero point) * scale: for the whole tensor, along an axis, or in blocks along an axis."""
    values, scale, zero = _three(inputs)
    axis, block = attributes.get("axis", 1) % max(values.ndim, 1), attributes.get("block_size", 0)

    def spread(part: Tensor) -> Tensor:
        if part.ndim == 0 or part.numel() == 1:
            return part.reshape(())
        if block:
            return part.repeat_interleave(block, axis).narrow(axis, 0, values.shape[axis])
        return part.reshape([-1 if dimension == axis else 1 for dimension in range(values.ndim)])

    shifted = values.float() if zero is None else values.float() - spread(zero).float()
    return shifted * spread(scale).float()


def _flatten(inputs: Inputs, attributes: Attributes) -> Tensor:
    axis = attributes.get("axis", 1)
    return inputs[0].flatten(0, axis - 1).flatten(1) if axis > 1 else inputs[0].flatten(1)


def _reshape(inputs: Inputs, attributes: Attributes) -> Tensor:
    values, shape = inputs[0], [int(side) for side in inputs[1]]
    keep_zero = attributes.get("allowzero", 0)
    return values.reshape([values.shape[i] if side == 0 and not keep_zero else side for i, side in enumerate(shape)])


def _axes(inputs: Inputs, attributes: Attributes) -> list[int]:
    given = attributes.get("axes", inputs[1] if len(inputs) > 1 else None)
    return list(range(inputs[0].ndim)) if given is None else [int(axis) for axis in given]


def _mean(inputs: Inputs, attributes: Attributes) -> Tensor:
    return inputs[0].mean(dim=_axes(inputs, attributes), keepdim=bool(attributes.get("keepdims", 1)))


def _squeeze(inputs: Inputs, attributes: Attributes) -> Tensor:
    return inputs[0].squeeze(tuple(_axes(inputs, attributes)))


def _pad(inputs: Inputs, attributes: Attributes) -> Tensor:
    if attributes.get("mode", b"constant") != b"constant":
        raise ValueError(f"padding {attributes['mode']!r} is not supported")
    pads = [int(side) for side in attributes.get("pads", inputs[1] if len(inputs) > 1 else [])]
    value = float(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else attributes.get("value", 0.0)
    return F.pad(inputs[0], _pads({"pads": pads}, inputs[0].ndim), value=value)


def _clip(inputs: Inputs, attributes: Attributes) -> Tensor:
    low, high = (*inputs[1:], None, None)[:2]
    low, high = attributes.get("min", low), attributes.get("max", high)
    return inputs[0].clamp(None if low is None else float(low), None if high is None else float(high))


OPERATIONS: dict[str, Callable[[Inputs, Attributes], Tensor]] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Constant": lambda _, attributes: attributes["value"],
    "Conv": _convolution,
    "DequantizeLinear": _dequantise,
    "Div": lambda inputs, _: inputs[0] / inputs[1],
    "Dropout": lambda inputs, _: inputs[0],
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean(dim=tuple(range(2, inputs[0].ndim)), keepdim=True),
    "Identity": lambda inputs, _: inputs[0],
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "PRelu": _prelu,
    "Pad": _pad,
    "ReduceMean": _mean,
    "Relu": lambda inputs, _: inputs[0].relu(),
    "Reshape": _reshape,
    "Sigmoid": lambda inputs, _: inputs[0].sigmoid(),
    "Softmax": lambda inputs, attributes: inputs[0].softmax(dim=attributes.get("axis", -1)),
    "Squeeze": _squeeze,
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
}
"""Layers by ONNX's name; all that SFace, HSEmotion's EfficientNet-B0 and exports of plain video networks use."""
