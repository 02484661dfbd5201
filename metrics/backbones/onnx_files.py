"""ONNX files run by ONNX Runtime, and a look inside one where the number asked for is no output of it.

ONNX Runtime gives the outputs that a file declares and no others. The file itself is a protocol buffer, so an output
is added with the library that ONNX Runtime brings along; only the fields needed for that are declared here, and all
others pass through as they are.
"""

import functools
from pathlib import Path
from typing import Any

import torch

from conventions.errors import MissingPackage, UserError

MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Node": {"input": (1, "string"), "op_type": (4, "string")},
    "Value": {"name": (1, "string")},
    "Graph": {"node": (1, "Node"), "output": (12, "Value")},
    "Model": {"graph": (7, "Graph")},
}
"""Fields by message, each with its number and kind, as in ONNX's own onnx.proto."""

SINGLE = frozenset({"op_type", "name", "graph"})
"""Fields that stand once; the others are lists."""


def session(network: Path | bytes, path: Path, purpose: str) -> Any:
    """An ONNX Runtime session on the CPU of a file or of its bytes; errors name `path`, and `purpose` what needs it."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingPackage("onnxruntime", "identity", purpose) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    source = network if isinstance(network, bytes) else str(network)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UserError(f"{path}: is no ONNX network that runs here ({type(error).__name__})") from error


def with_classifier_input(path: Path, purpose: str) -> bytes:
    """The file's bytes with one more output, the last: what its final layer, which must be dense, is given."""
    try:
        from google.protobuf.message import DecodeError
    except ImportError:
        raise MissingPackage("protobuf", "identity", purpose) from None
    model = _model_class()()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise UserError(f"{path}: is no ONNX network ({error})") from error
    nodes = model.graph.node
    if not nodes or nodes[-1].op_type != "Gemm":
        found = nodes[-1].op_type if nodes else "none"
        raise UserError(f"{path}: its last layer is {found}, expected the classifier, a dense layer (Gemm)")
    model.graph.output.add(name=nodes[-1].input[0])
    return model.SerializeToString()


@functools.cache
def _model_class() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="onnx_outline.proto", package="outline", syntax="proto2")
    for message, fields in MESSAGES.items():
        declared = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            label = kinds.LABEL_OPTIONAL if name in SINGLE else kinds.LABEL_REPEATED
            if kind == "string":
                declared.field.add(name=name, number=number, label=label, type=kinds.TYPE_STRING)
            else:
                type_name = f".outline.{kind}"
                declared.field.add(name=name, number=number, label=label, type=kinds.TYPE_MESSAGE, type_name=type_name)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("outline.Model"))
