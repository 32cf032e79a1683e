"""Plans in this PC's cache: none is built unasked, and none is kept unproved."""

from collections.abc import Sequence

from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.loading import refuse_external_data
from vexas_edge.engines.tensorrt.build import plan_from_graph
from vexas_edge.engines.tensorrt.library import NAME
from vexas_edge.engines.tensorrt.plans import KINDS, PlanFor, plan_key
from vexas_edge.engines.tensorrt.proof import Layer, proved
from vexas_edge.errors import HostError
from vexas_edge.host.cache import Found, find, store

_PLAN = "tensorrt-plan"


def kept_plan(graph: bytes, options: EngineOptions, wanted: PlanFor) -> Found:
    """The graph's plan as it was kept, or why there is none."""
    return find(_PLAN, plan_key(graph, options.precision, wanted), same="graph")


def keep_plan(
    graph: bytes, options: EngineOptions, wanted: PlanFor, plan: bytes, layers: Sequence[Layer]
) -> None:
    """Keep a new plan whose layers compute in `options.precision`.

    Raises:
        HostError: they compute in something else, or the cache cannot be written.
    """
    words = proved(layers, options.precision)
    gpus = f" for GPUs of {', '.join(wanted.capabilities)}" if wanted.capabilities else ""
    options.report(f"built{gpus}, {len(plan) / 1e6:.1f} MB: {words}")
    store(_PLAN, plan_key(graph, options.precision, wanted), plan)


def plans_for_all_gpus(graph: bytes, options: EngineOptions) -> int:
    """Keep a plan of the graph for each kind of GPU, and return how many there are then.

    TensorRT for RTX alone can do this. Where a plan would not compute in `options.precision`, this
    is reported, and it is not kept.

    Raises:
        HostError: the graph is not accepted, or no plan computes in the precision.
    """
    refuse_external_data(graph, "tensorrt")
    refused: list[HostError] = []
    for kind in KINDS:
        wanted = PlanFor(library=NAME, capabilities=kind)
        try:
            if kept_plan(graph, options, wanted).content is None:
                built = plan_from_graph(graph, options, kind)
                keep_plan(graph, options, wanted, built.plan, built.layers)
        except HostError as error:
            options.report(f"for GPUs of {', '.join(kind)}: left out: {error}")
            refused.append(error)
    if len(refused) == len(KINDS):
        raise refused[-1]
    return len(KINDS) - len(refused)
