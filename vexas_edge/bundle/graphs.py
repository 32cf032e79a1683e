"""The names of a model's files, and the precision that each graph computes in."""

from vexas_edge.choices import Precision

# The mark of figures that were measured with a graph that does the same arithmetic on the CPU.
EMULATED = "emulated"

# The kinds of graphs that are cheaper than the reference: for a GPU; for CPUs with VNNI; for other
# CPUs, with weights of 7 bits; for TensorRT.
CHEAPER = ("fp16", "int8", "int8-rr", "int8-trt")


def graph_file(kind: str) -> str:
    """The name of a model's fused graph of one kind: "fp32" or one of `CHEAPER`.

    >>> graph_file("int8")
    'fused.int8.onnx'
    """
    return f"fused.{kind}.onnx"


# A model's files: the reference graph, the graph that every score comes from, and the self-test.
FUSED = graph_file("fp32")
HEAD = "head.onnx"
GOLDEN = "golden.npz"
# The mask network of a model that wants its cells isolated.
ISOLATE = "isolate.onnx"
# The graphs beside the fused ones, which always run in onnxruntime on the CPU.
BESIDE_FUSED = (HEAD, ISOLATE)
# What the model's training patients looked like, for its domain gate; a model can be without.
REFERENCE = "reference.npz"
# What the cells look like that a model which names cells was fitted on; it can be without.
FAMILIAR = "familiar.npz"
# The features of a model whose cells are vectors, a name a line.
FEATURES_FILE = "features.txt"
REQUIRED_FILES = (FUSED, HEAD, GOLDEN)


def precision_of(file: str) -> Precision:
    """The precision that a fused graph computes in, by the name of its file."""
    if file == FUSED:
        return "fp32"
    return "fp16" if file == graph_file("fp16") else "int8"
