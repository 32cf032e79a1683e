"""TensorRT for RTX's own parser, which needs no GPU."""

from dataclasses import dataclass
from typing import Any

import pytest
from onnx import ModelProto

tensorrt: Any = pytest.importorskip("tensorrt_rtx_bindings")

# What it says where the types of a node's inputs differ.
_OF_TYPES = ("same type", "same input types")


class _Log(tensorrt.ILogger):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def log(self, severity: Any, text: str) -> None:
        if severity != tensorrt.ILogger.Severity.VERBOSE:
            self.lines.append(text)


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """What became of a graph. errors: why it is refused; empty if it is not."""

    network: Any
    errors: tuple[str, ...]


def parsed(model: ModelProto) -> Parsed:
    """The graph as the library's parser takes it; a warning about types is a refusal."""
    log = _Log()
    network = tensorrt.Builder(log).create_network()
    parser = tensorrt.OnnxParser(network, log)
    if parser.parse(model.SerializeToString()):
        warned = [line for line in log.lines if any(words in line for words in _OF_TYPES)]
        return Parsed(network=network, errors=tuple(warned))
    found = tuple(str(parser.get_error(i)) for i in range(parser.num_errors))
    return Parsed(network=network, errors=found or ("refused without a word",))


def knows_operator(name: str) -> bool:
    """Whether the parser knows a standard operator."""
    log = _Log()
    parser = tensorrt.OnnxParser(tensorrt.Builder(log).create_network(), log)
    known: bool = parser.supports_operator(name)
    return known
