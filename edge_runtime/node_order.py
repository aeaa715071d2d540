"""The nodes of an ONNX file in another order: those with the heaviest weights first.

    heaviest_first(model)       # bytes of a ModelProto -> bytes of the same model, its nodes in another order

onnxruntime packs the weights node by node, in the order of the file, and holds a weight twice while it packs it. With
the heaviest one first, that is while little else is loaded, and the peak of loading is what stays; CNN14's heaviest
weight is the last, and half of all. What is computed does not change: onnxruntime sorts by what depends on what.

A device has no `onnx` package, so this reads the few protobuf fields that it needs and copies everything else.
"""

from collections.abc import Iterator

__all__ = ["heaviest_first"]

GRAPH = 7  # of ModelProto
NODE, INITIALIZER = 1, 5  # of GraphProto
NODE_INPUT = 1
TENSOR_NAME, EXTERNAL_DATA = 8, 13  # of TensorProto
KEY, VALUE = 1, 2  # of StringStringEntryProto
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def heaviest_first(model: bytes) -> bytes:
    """Only weights that lie in another file count. Raises ValueError where `model` is no protobuf message."""
    out = b""
    for field, whole, content in _fields(model):
        out += whole if field != GRAPH else _tagged(GRAPH, _sorted_graph(content))
    return out


def _sorted_graph(graph: bytes) -> bytes:
    fields = list(_fields(graph))
    weights = dict(_weight_bytes(content) for field, _, content in fields if field == INITIALIZER)

    def heaviest(node: bytes) -> int:
        inputs = (content for field, _, content in _fields(node) if field == NODE_INPUT)
        return max((weights.get(name, 0) for name in inputs), default=0)

    nodes = [(heaviest(content), whole) for field, whole, content in fields if field == NODE]
    nodes.sort(key=lambda node: -node[0])  # stable: nodes without weights keep their order
    return b"".join([*(whole for _, whole in nodes), *(whole for field, whole, _ in fields if field != NODE)])


def _weight_bytes(tensor: bytes) -> tuple[bytes, int]:
    """An initializer's name, and its length in the external file; 0 for one that is none of these."""
    name, length = b"", 0
    for field, _, content in _fields(tensor):
        if field == TENSOR_NAME:
            name = content
        elif field == EXTERNAL_DATA:
            entry = {field: value for field, _, value in _fields(content)}
            if entry.get(KEY) == b"length":
                length = int(entry[VALUE])
    return name, length


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each field: its number, its bytes as they stand, and the content of one that has a length (else nothing)."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _varint(message, at)
        field, kind, content = tag >> 3, tag & 7, b""
        if kind == VARINT:
            _, at = _varint(message, at)
        elif kind == BYTES:
            length, at = _varint(message, at)
            content = message[at : at + length]
            at += length
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"a protobuf field of kind {kind} at byte {start}: this is no ONNX model")
        if at > len(message):
            raise ValueError(f"a protobuf field at byte {start} is cut off: this is no whole ONNX model")
        yield field, message[start:at], content


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that begins at byte `at`, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise ValueError(f"a protobuf number that ends nowhere, before byte {at}: this is no ONNX model")


def _tagged(field: int, content: bytes) -> bytes:
    return _number(field << 3 | BYTES) + _number(len(content)) + content


def _number(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
