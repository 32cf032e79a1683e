"""TensorRT on an NVIDIA GPU, either the full one or TensorRT for RTX: an optional engine.

A built engine is called a plan. `plans` knows the sizes of calls, the GPUs that plans are for and
their keys. `build` makes them, `proof` reads what they compute in, and `keeping` has them in this
PC's cache; with TensorRT for RTX none of this needs a GPU. `engine` runs them, and `calls` has what
a call needs. `library` imports TensorRT and `cuda` CUDA; whatever needs one of them is imported
only when it is used.
"""

from vexas_edge.choices import Device
from vexas_edge.engines.contract import Abilities, CallSize, Engine, EngineOptions

ABILITIES = Abilities(
    packages=("tensorrt", "tensorrt-rtx-cu13-libs"),
    graphs={"cuda": {"fp32": "fp32", "fp16": "fp16", "int8": "int8-trt"}},
    call_sizes={"cuda": CallSize(rows=32, values=32 * 272 * 272 * 3)},
    whole=False,
)


def devices() -> tuple[Device, ...]:
    """The GPU.

    Raises:
        HostError: there is no TensorRT, or no GPU that it runs on.
    """
    from vexas_edge.engines.tensorrt.cuda import this_gpu

    this_gpu()
    return ("cuda",)


def start(graph: bytes, options: EngineOptions) -> Engine:
    """An engine with the graph's plan; see `vexas_edge.engines.tensorrt.engine`."""
    from vexas_edge.engines.tensorrt.engine import engine_from_graph

    return engine_from_graph(graph, options)


def builds_without_gpu() -> bool:
    """Whether the TensorRT that is installed builds plans for the GPUs of other PCs.

    Raises:
        HostError: there is none.
    """
    from vexas_edge.engines.tensorrt.library import FOR_RTX

    return FOR_RTX


def build_for_all_gpus(graph: bytes, options: EngineOptions) -> int:
    """Build a plan for each kind of GPU, without any; see `vexas_edge.engines.tensorrt.keeping`."""
    from vexas_edge.engines.tensorrt.keeping import plans_for_all_gpus

    return plans_for_all_gpus(graph, options)
