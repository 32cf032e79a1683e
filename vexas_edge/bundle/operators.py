"""The operators that a bundle's graphs may use; a graph is checked before an engine is given it.

Graphs are read as the protobuf messages that they are, with the field numbers of onnx.proto, as
the package onnx is not on the PCs that score.
"""

from collections.abc import Iterator

# ONNX's own operators that make tensors of tensors, whose sizes follow from those of the inputs.
# Not among them are control flow and recurrence, which can work without end; random numbers;
# texts, sequences and optional values; and what finds as many results as it likes.
OPERATORS = frozenset(
    {
        *("Abs", "Add", "And", "Ceil", "Clip", "Div", "Equal", "Exp", "Floor", "Greater"),
        *("GreaterOrEqual", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mod", "Mul"),
        *("Neg", "Not", "Or", "Pow", "Reciprocal", "Round", "Sign", "Sqrt", "Sub", "Sum", "Xor"),
        *("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cos", "Cosh", "Erf", "IsInf"),
        *("IsNaN", "Sin", "Sinh", "Tan", "Where"),
        *("Celu", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "LogSoftmax", "Mish", "PRelu"),
        *("Relu", "Selu", "Sigmoid", "Softmax", "Softplus", "Softsign", "Tanh", "ThresholdedRelu"),
        *("AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "Dropout", "Einsum"),
        *("Gemm", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GroupNormalization"),
        *("InstanceNormalization", "LRN", "LayerNormalization", "LpNormalization", "LpPool"),
        *("MatMul", "MaxPool", "MeanVarianceNormalization"),
        *("ArgMax", "ArgMin", "CumSum", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp"),
        *("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
        *("TopK",),
        *("Cast", "CastLike", "Concat", "Constant", "ConstantOfShape", "DepthToSpace", "Expand"),
        *("Flatten", "Gather", "GatherElements", "GatherND", "GridSample", "Identity"),
        *("OneHot", "Pad", "Range"),
        *("Reshape", "Resize", "ScatterElements", "ScatterND", "Shape", "Size", "Slice"),
        *("SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze"),
        *("ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger"),
        *("QLinearConv", "QLinearMatMul", "QuantizeLinear"),
    }
)

# What lies in which field of which message, by the field numbers of onnx.proto.
_MESSAGES = {
    ("model", 7): "graph",
    ("graph", 1): "node",
    ("graph", 5): "tensor",
    ("node", 5): "attribute",
    ("attribute", 5): "tensor",
    ("attribute", 10): "tensor",
}
_OPERATOR, _DOMAIN = ("node", 4), ("node", 7)
_STANDARD = (b"", b"ai.onnx")
_REFUSED = {
    ("model", 25): "defines functions",
    ("graph", 15): "has sparse constants",
    ("attribute", 6): "has a graph inside an operator",
    ("attribute", 11): "has a graph inside an operator",
    ("attribute", 22): "has sparse constants",
    ("attribute", 23): "has sparse constants",
    ("tensor", 13): "takes constants from other files",
}
# How a field is coded: a number, 8 bytes, a length and as many bytes, 4 bytes.
_NUMBER, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_LONGEST_NUMBER, _LONGEST_NAME, _LARGEST_KEY = 10, 80, (1 << 32) - 1
_OTHER_FORMAT = b"ORTM"
# EfficientNet-B4 in int8 has 25,000.
_MOST_FIELDS = 500_000


def check_operators(model: bytes) -> None:
    """Check that a graph uses listed operators only, and nothing from outside its file.

    Args:
        model: the content of an .onnx file.

    Raises:
        ValueError: it does not, or is no such file.
    """
    # onnxruntime would read a file of its own format by this mark, whatever else the file may be.
    if model[4:8] == _OTHER_FORMAT:
        raise ValueError("it is not an ONNX file")
    waiting, n_fields, n_graphs = [("model", memoryview(model))], 0, 0
    while waiting:
        message, content = waiting.pop()
        for number, value in _fields(content):
            n_fields += 1
            if n_fields > _MOST_FIELDS:
                raise ValueError(f"it has over {_MOST_FIELDS} parts")
            if problem := _problem_of((message, number), value):
                raise ValueError(f"it {problem}, which no graph of a bundle may")
            if inner := _MESSAGES.get((message, number)):
                waiting.append((inner, value))
                n_graphs += inner == "graph"
    if not n_graphs:
        raise ValueError("it is not an ONNX file")


def _problem_of(field: tuple[str, int], value: memoryview) -> str:
    """What is not allowed of a field; empty if it is."""
    if field == _OPERATOR and (name := _text(value)) not in OPERATORS:
        return f"uses the operator {name!r}"
    if field == _DOMAIN and value not in _STANDARD:
        return f"uses an operator of the domain {_text(value)!r}"
    return _REFUSED.get(field, "")


def _text(value: memoryview) -> str:
    return bytes(value[:_LONGEST_NAME]).decode(errors="replace")


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field of a protobuf message; numbers are passed as empty."""
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        size, kind = 0, key & 7
        if key > _LARGEST_KEY or not key >> 3:  # readers differ in what they make of these
            raise ValueError("it is not an ONNX file")
        if kind == _NUMBER:
            _, at = _number(message, at)
        elif kind == _BYTES:
            size, at = _number(message, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError("it is not an ONNX file")
        if at + size > len(message):
            raise ValueError("it is not a whole ONNX file")
        yield key >> 3, message[at : at + size]
        at += size


def _number(message: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + _LONGEST_NUMBER]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("it is not a whole ONNX file")
