"""The proof that a TensorRT plan computes in what was asked for, read from the library's own words.

Tools have silently built engines in float32 when they were asked for float16, and a plan of ours
for several GPUs, one of them of compute capability 7.5, multiplied int8 weights in float32 on all.

TensorRT for RTX says what each layer takes and gives when it builds a plan, in a message of its
log that begins with "Layers:" and has a line for each layer. Its words were seen in version 1.7. A
plan of the full TensorRT is described by its inspector once it is loaded, in JSON: an object whose
"Layers" are objects with "Name", "LayerType", often "ParameterType", and "Inputs" and "Outputs".
These are tensors; their type is in "Datatype" since TensorRT 11, as in "Int8", and was in
"Format/Datatype" before. It is read in all the spellings that NVIDIA's documentation and published
recordings of TensorRT 8 to 11 show; no recording of a plan of ours exists yet.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vexas_edge.choices import Precision
from vexas_edge.errors import HostError

# The least share of a plan's convolutions that must compute in what was asked for. A cheaper graph
# may keep some in float on purpose; in a plan that was built in float32 by mistake, none computes
# in anything else.
LEAST_SHARE = {"fp32": 1.0, "fp16": 0.5, "int8": 0.5}

_LINE = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<type>\w+), Inputs: \[(?P<takes>.*?)\], "
    r"Constants: .*?, Outputs: \[(?P<gives>.*?)\], TacticName: .*?(?P<origin>from_conv|$)",
    re.MULTILINE,
)
_LOGGED_TYPE = re.compile(r"Datatype: (\w+)")
# A kernel that is fused at run time has its operators in its name, as in "__myl_CorrSilu_myl0_2".
_FUSED = "runtime_fusion"

# A product that was a convolution of 1x1 ends in "gemm_from_conv1x1".
_CONVOLUTION = re.compile(r"conv(?!ert)|correlation|_Corr", re.IGNORECASE)
_PRODUCT = re.compile(r"gemm|mat(rix_?)?mul|fully_?connected", re.IGNORECASE)
# These match whole words, so that BF16 is not taken for FP16, nor uint8 for int8.
_TYPES = {
    "int8": re.compile(r"\bint8\b", re.IGNORECASE),
    "fp16": re.compile(r"\b(half|fp16|float16)\b", re.IGNORECASE),
    "fp32": re.compile(r"\b(float|fp32|float32)\b", re.IGNORECASE),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A layer, with the types of its first input and its first output.

    takes, gives: one of `Precision`, or TensorRT's own word for another type; empty for none.
    """

    name: str
    kind: Literal["convolution", "product", "other"]
    takes: str
    gives: str


def proved(layers: Sequence[Layer], wanted: Precision) -> str:
    """Check that a plan's convolutions compute in what is wanted; returns a summary in words.

    A layer computes in the type of its first input, the activations. Its output may have another
    type, and its bias is float32 in every precision. Products are named, not judged: attention to
    channels multiplies a few numbers in whatever type suits.

    Raises:
        HostError: too few convolutions do, or the description does not say.
    """
    found = Counter(layer.takes for layer in layers if layer.kind == "convolution")
    if not found:
        raise _unreadable("it names no convolution")
    if found[wanted] < LEAST_SHARE[wanted] * found.total():
        other = next(x for x in layers if x.kind == "convolution" and x.takes != wanted)
        raise HostError(
            f"the TensorRT engine was built for {wanted}, but its convolutions compute in "
            f"{_counts(found)} (such as {other.name!r}); it is not kept. Use another --precision, "
            "or --engine onnxruntime"
        )
    products = Counter(layer.takes for layer in layers if layer.kind == "product")
    words = f"convolutions: {_counts(found)}; products: {_counts(products)}"
    return f"{words}; kernels that round to int8: {n_rounding(layers)}"


def n_rounding(layers: Sequence[Layer]) -> int:
    """How many layers only bring values to int8; each reads and writes all activations again."""
    return sum(x.kind == "other" and x.gives == "int8" != x.takes for x in layers)


def _counts(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} {n}" for kind, n in kinds.most_common()) or "none"


def layers_from_log(message: str) -> tuple[Layer, ...]:
    """The layers of a plan, from the builder's message about them; none if it is empty.

    Raises:
        HostError: a line of it cannot be read.
    """
    lines = list(_LINE.finditer(message))
    if len(lines) != len(re.findall(r"^Name: ", message, re.MULTILINE)):
        raise _unreadable("not all of its lines are as expected")
    return tuple(
        Layer(
            name=line["name"],
            kind=_kind(_words(line)),
            takes=_type(next(iter(_LOGGED_TYPE.findall(line["takes"])), "")),
            gives=_type(next(iter(_LOGGED_TYPE.findall(line["gives"])), "")),
        )
        for line in lines
    )


def _words(line: re.Match[str]) -> str:
    """What says of which kind a layer is: its name may say anything, unless the builder made it."""
    name = line["name"] if line["type"] == _FUSED else ""
    return f"{line['type']} {name} {line['origin']}"


def layers_from_inspector(description: str) -> tuple[Layer, ...]:
    """The layers of a loaded plan, from the inspector's JSON.

    Raises:
        HostError: the text is not such JSON, or lacks the details.
    """
    try:
        return tuple(_layer(listed) for listed in json.loads(description)["Layers"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _unreadable(f"{type(error).__name__}: {error}") from error


def _layer(listed: dict[str, Any]) -> Layer:
    kind = _kind(f"{listed['LayerType']} {listed.get('ParameterType', '')}")
    takes, gives = (_first_type(listed[tensors]) for tensors in ("Inputs", "Outputs"))
    if kind != "other" and not takes:
        raise KeyError(f"the type of what {listed['Name']} takes")
    return Layer(name=listed["Name"], kind=kind, takes=takes, gives=gives)


def _first_type(tensors: Sequence[dict[str, Any]]) -> str:
    texts = (tensor.get("Datatype", tensor.get("Format/Datatype", "")) for tensor in tensors)
    return _type(next(texts, ""))


def _kind(words: str) -> Literal["convolution", "product", "other"]:
    if _CONVOLUTION.search(words):
        return "convolution"
    return "product" if _PRODUCT.search(words) else "other"


def _type(text: str) -> str:
    return next((kind for kind, word in _TYPES.items() if word.search(text)), text)


def _unreadable(why: str) -> HostError:
    return HostError(
        f"TensorRT's description of the engine cannot be read ({why}), so nothing proves what it "
        "computes in, and it is not kept; use --engine onnxruntime, and report this with the "
        "version of TensorRT"
    )
