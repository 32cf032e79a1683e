"""The proof that a TensorRT engine computes in what was asked for, read from its own description.

Tools have silently built engines in float32 when they were asked for float16. TensorRT's inspector
says what each layer takes and returns. For an engine that was built with detailed verbosity, its
JSON is an object whose "Layers" are objects with "Name", "LayerType", often "ParameterType", and
"Inputs" and "Outputs". These are tensors; their type is in "Datatype" since TensorRT 11, as in
"Int8", and was in "Format/Datatype" before, as in "Thirty-two wide channel vectorized row major
Int8 format". Types and layers are recognised in all the spellings that NVIDIA's documentation and
published recordings of TensorRT 8 to 11 show. No recording of an engine of ours exists yet.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vexas_edge.choices import Precision
from vexas_edge.errors import HostError

# The least share of an engine's convolutions that must compute in what was asked for. A cheaper
# graph may keep some in float on purpose; in an engine that was built in float32 by mistake, none
# computes in anything else.
LEAST_SHARE = {"fp32": 1.0, "fp16": 0.5, "int8": 0.5}

_CONVOLUTION = re.compile(r"conv(?!ert)|correlation", re.IGNORECASE)
_PRODUCT = re.compile(r"gemm|mat(rix_?)?mul|fully_?connected", re.IGNORECASE)
# These match whole words, so that BF16 is not taken for FP16, nor uint8 for int8.
_TYPES = {
    "int8": re.compile(r"\bint8\b", re.IGNORECASE),
    "fp16": re.compile(r"\b(half|fp16|float16)\b", re.IGNORECASE),
    "fp32": re.compile(r"\b(float|fp32|float32)\b", re.IGNORECASE),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A layer that multiplies weights.

    computes_in: one of `Precision`, or TensorRT's own word for another type.
    """

    name: str
    is_convolution: bool
    computes_in: str


def proved(description: str, wanted: Precision) -> str:
    """Check that an engine's convolutions compute in what is wanted; returns a summary in words.

    The classifier's products are in float32 in every precision, so they are not judged.

    Args:
        description: the inspector's JSON for a context whose shapes are set.

    Raises:
        HostError: too few convolutions do, or the description does not say.
    """
    layers = layers_of(description)
    found = Counter(layer.computes_in for layer in layers if layer.is_convolution)
    if not found:
        raise _unreadable("it names no convolution")
    if found[wanted] < LEAST_SHARE[wanted] * found.total():
        other = next(x for x in layers if x.is_convolution and x.computes_in != wanted)
        raise HostError(
            f"the TensorRT engine was built for {wanted}, but its convolutions compute in "
            f"{_counts(found)} (such as {other.name!r}); it is not kept. Use another --precision, "
            "or --engine onnxruntime"
        )
    products = Counter(layer.computes_in for layer in layers if not layer.is_convolution)
    return f"convolutions: {_counts(found)}; products: {_counts(products)}"


def _counts(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} {n}" for kind, n in kinds.most_common()) or "none"


def layers_of(description: str) -> tuple[Layer, ...]:
    """The convolutions and matrix products of an engine, from its inspector's JSON.

    Raises:
        HostError: the text is not such JSON, or lacks the details.
    """
    try:
        listed = json.loads(description)["Layers"]
        return tuple(layer for each in listed for layer in _layer(each))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _unreadable(f"{type(error).__name__}: {error}") from error


def _layer(listed: dict[str, Any]) -> Iterator[Layer]:
    """Yield the layer if it is a convolution or a product.

    A layer computes in the type of its first input, the activations. Its output may have another
    type, and its bias is float32 in every precision.
    """
    kind = f"{listed['LayerType']} {listed.get('ParameterType', '')}"
    is_convolution = bool(_CONVOLUTION.search(kind))
    if is_convolution or _PRODUCT.search(kind):
        computes_in = _type(listed["Inputs"][0])
        yield Layer(name=listed["Name"], is_convolution=is_convolution, computes_in=computes_in)


def _type(tensor: dict[str, Any]) -> str:
    text = str(tensor["Datatype"] if "Datatype" in tensor else tensor["Format/Datatype"])
    return next((kind for kind, word in _TYPES.items() if word.search(text)), text)


def _unreadable(why: str) -> HostError:
    return HostError(
        f"TensorRT's description of the engine cannot be read ({why}), so nothing proves what it "
        "computes in, and it is not kept; use --engine onnxruntime, and report this with the "
        "version of TensorRT"
    )
