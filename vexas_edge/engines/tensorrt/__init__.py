"""TensorRT on an NVIDIA GPU: an optional engine, built for the very GPU that it runs on.

What needs the library is imported when it is asked for: `engine` runs plans, `build` makes them,
`proof` reads what they compute in, `plans` knows their shapes and keys, `nvidia` is the library.
"""

from vexas_edge.choices import Device
from vexas_edge.engines.contract import Abilities, CallSize, Engine, EngineOptions

ABILITIES = Abilities(
    packages=("tensorrt",),
    graphs={"cuda": {"fp32": "fp32", "fp16": "fp16", "int8": "int8-trt"}},
    call_sizes={"cuda": CallSize(rows=32, values=4 * 272 * 272 * 3)},
)


def devices() -> tuple[Device, ...]:
    """Where it runs here.

    Raises:
        HostError: there is no GPU that CUDA can use, or no TensorRT.
    """
    from vexas_edge.engines.tensorrt.nvidia import this_gpu

    this_gpu()
    return ("cuda",)


def start(graph: bytes, options: EngineOptions) -> Engine:
    """The graph's plan, loaded; see `vexas_edge.engines.tensorrt.engine.engine_from_graph`."""
    from vexas_edge.engines.tensorrt.engine import engine_from_graph

    return engine_from_graph(graph, options)
