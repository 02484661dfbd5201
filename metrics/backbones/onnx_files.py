"""ONNX files read as protocol buffers: only the fields that a torch port needs are declared, the others are skipped."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conventions.errors import MissingPackage, UserError

Fields = dict[str, tuple[int, str]]

MESSAGES: dict[str, Fields] = {
    "Tensor": {
        "dims": (1, "int64"), "data_type": (2, "int32"), "float_data": (4, "float"), "int32_data": (5, "int32"),
        "int64_data": (7, "int64"), "name": (8, "string"), "raw_data": (9, "bytes"),
    },
    "Attribute": {
        "name": (1, "string"), "f": (2, "float"), "i": (3, "int64"), "s": (4, "bytes"), "t": (5, "Tensor"),
        "floats": (7, "float"), "ints": (8, "int64"), "type": (20, "int32"),
    },
    "Node": {"input": (1, "string"), "output": (2, "string"), "op_type": (4, "string"), "attribute": (5, "Attribute")},
    "Value": {"name": (1, "string")},
    "Graph": {"node": (1, "Node"), "initializer": (5, "Tensor"), "input": (11, "Value"), "output": (12, "Value")},
    "Model": {"graph": (7, "Graph")},
}  # fmt: skip
"""Fields by message, each with its number and kind, as in ONNX's own onnx.proto."""

REPEATED = frozenset(
    {"dims", "float_data", "int32_data", "int64_data", "floats", "ints", "node", "initializer", "attribute"}
)
REPEATED_BY_MESSAGE = {"Node": {"input", "output"}, "Graph": {"input", "output"}}

DTYPES: dict[int, Any] = {
    1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64,
}  # fmt: skip
"""NumPy type by ONNX's number of it."""

ATTRIBUTES = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints"}
"""Field of an attribute by its type."""


def read_graph(path: Path, purpose: str) -> Any:
    """The graph of an ONNX file; UserError where it is none. Nothing in the file is executed."""
    try:
        from google.protobuf.message import DecodeError
    except ImportError:
        raise MissingPackage("protobuf", "identity", purpose) from None
    model = _model_class()()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise UserError(f"{path}: is not an ONNX network ({error})") from error
    if not model.graph.node:
        raise UserError(f"{path}: is not an ONNX network (it has no layers)")
    return model.graph


def tensor_of(message: Any) -> Tensor:
    """A TensorProto as a torch tensor; ValueError for a type that is not supported."""
    if message.data_type not in DTYPES:
        raise ValueError(f"tensor {message.name!r} has ONNX's type {message.data_type}")
    dtype = DTYPES[message.data_type]
    if message.raw_data:
        values = np.frombuffer(message.raw_data, np.dtype(dtype).newbyteorder("<"))
    else:
        values = np.array(list(message.float_data) or list(message.int64_data) or list(message.int32_data))
    return torch.from_numpy(values.astype(dtype).reshape(list(message.dims)).copy())


def attributes_of(node: Any) -> dict[str, Any]:
    """A node's attributes by name: number, bytes, list or tensor."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.type not in ATTRIBUTES:
            raise ValueError(f"attribute {attribute.name!r} of {node.op_type} has ONNX's type {attribute.type}")
        value = getattr(attribute, ATTRIBUTES[attribute.type])
        found[attribute.name] = tensor_of(value) if attribute.type == 4 else value
    return found


@functools.cache
def _model_class() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="onnx_outline.proto", package="outline", syntax="proto2")
    scalars = {"string", "bytes", "int32", "int64", "float"}
    for message, fields in MESSAGES.items():
        declared = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            repeated = name in REPEATED or name in REPEATED_BY_MESSAGE.get(message, ())
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if kind in scalars:
                scalar = getattr(kinds, f"TYPE_{kind.upper()}")
                declared.field.add(name=name, number=number, label=label, type=scalar)
            else:
                type_name = f".outline.{kind}"
                declared.field.add(name=name, number=number, label=label, type=kinds.TYPE_MESSAGE, type_name=type_name)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("outline.Model"))
