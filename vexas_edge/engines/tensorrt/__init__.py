"""TensorRT on an NVIDIA GPU: an optional engine, built for the very GPU that it runs on.

A built engine is called a plan. `engine` runs plans, `build` makes them, `proof` reads what they
compute in, and `plans` knows their shapes and keys. `nvidia` imports NVIDIA's libraries; whatever
needs it is imported only when it is used.
"""

from vexas_edge.choices import Device
from vexas_edge.engines.contract import Abilities, CallSize, Engine, EngineOptions

ABILITIES = Abilities(
    packages=("tensorrt",),
    graphs={"cuda": {"fp32": "fp32", "fp16": "fp16", "int8": "int8-trt"}},
    call_sizes={"cuda": CallSize(rows=32, values=4 * 272 * 272 * 3)},
)


def devices() -> tuple[Device, ...]:
    """The GPU.

    Raises:
        HostError: there is no GPU that CUDA can use, or no TensorRT.
    """
    from vexas_edge.engines.tensorrt.nvidia import this_gpu

    this_gpu()
    return ("cuda",)


def start(graph: bytes, options: EngineOptions) -> Engine:
    """An engine with the graph's plan; see `vexas_edge.engines.tensorrt.engine`."""
    from vexas_edge.engines.tensorrt.engine import engine_from_graph

    return engine_from_graph(graph, options)
