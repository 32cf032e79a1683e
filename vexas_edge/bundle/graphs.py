"""What the files of a model are called, and what each graph computes in."""

from vexas_edge.choices import Precision

# What a graph's figures say where they are of a graph that does the same arithmetic on the CPU.
EMULATED = "emulated"

# Graphs that are cheaper than the reference, by what their files are called: for a GPU; for CPUs
# with VNNI; for other CPUs, with weights of 7 bits; for TensorRT.
CHEAPER = ("fp16", "int8", "int8-rr", "int8-trt")


def graph_file(kind: str) -> str:
    """The name of a model's fused graph of one kind: "fp32" or one of `CHEAPER`.

    >>> graph_file("int8")
    'fused.int8.onnx'
    """
    return f"fused.{kind}.onnx"


# A model's files: the reference graph, the graph that scores come from, the self-test.
FUSED = graph_file("fp32")
HEAD = "head.onnx"
GOLDEN = "golden.npz"
# The mask network, of models that want their cells isolated.
ISOLATE = "isolate.onnx"
REQUIRED_FILES = (FUSED, HEAD, GOLDEN)


def precision_of(file: str) -> Precision:
    """What a fused graph computes in, by the name of its file."""
    if file == FUSED:
        return "fp32"
    return "fp16" if file == graph_file("fp16") else "int8"
