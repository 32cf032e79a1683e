"""What TensorRT for RTX makes of whole networks: how long a plan takes and what it computes in.

    python benchmarks/tensorrt_plans.py -o benchmarks/results/tensorrt_plans.jsonl

It needs no GPU, and says nothing of speed on one. Each network is built in float32, float16 and
int8 for each kind of GPU, and each line has the plan's layers as the builder described them: the
types that its convolutions take and give, and the kernels that only round to int8.
"""

import json
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
from host import host_facts
from network_graphs import DRAW_SIZE, FORMS, NETWORKS, reference_graph
from onnx import ModelProto

from vexas_edge.bundle.contract import HeadSizes, fused_contract, images_tensor
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.tensorrt.build import plan_from_graph
from vexas_edge.engines.tensorrt.library import NAME
from vexas_edge.engines.tensorrt.plans import KINDS, USUAL_ROWS
from vexas_edge.engines.tensorrt.proof import n_rounding

CANVAS_PX = 272
TURNS = 3


def options_for(graph: ModelProto) -> EngineOptions:
    """How a fused graph is opened in calls of the usual size."""
    (cells, _), (encodings, *_) = graph.graph.input, graph.graph.output
    contract = fused_contract(
        images_tensor(cells.type.tensor_type.shape.dim[1].dim_value),
        HeadSizes(
            encoding_width=encodings.type.tensor_type.shape.dim[1].dim_value, draw_size=DRAW_SIZE
        ),
    )
    return EngineOptions(engine="tensorrt", rows=contract.rows(USUAL_ROWS))


def plan_line(graph: ModelProto, capabilities: tuple[str, ...], turns: int) -> dict[str, Any]:
    """The seconds, the median of turns, and the layers of a graph's plan."""
    content, options, seconds = graph.SerializeToString(), options_for(graph), []
    for _ in range(turns):
        began = time.perf_counter()
        built = plan_from_graph(content, options, capabilities)
        seconds.append(time.perf_counter() - began)
    convolutions = [layer for layer in built.layers if layer.kind == "convolution"]
    return {
        "gpus": list(capabilities),
        "seconds": round(statistics.median(seconds), 2),
        "graph_mb": round(len(content) / 1e6, 1),
        "plan_mb": round(len(built.plan) / 1e6, 1),
        "convolutions": Counter(f"{layer.takes} to {layer.gives}" for layer in convolutions),
        "kernels_that_round": n_rounding(built.layers),
    }


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Add lines here.")
@click.option("--network", "networks", type=click.Choice(NETWORKS), multiple=True)
@click.option("--canvas-px", default=CANVAS_PX, show_default=True)
@click.option("--turns", default=TURNS, show_default=True)
def main(out: Path, networks: tuple[str, ...], canvas_px: int, turns: int) -> None:
    """Add a line for each network, precision and kind of GPU."""
    for network in networks or NETWORKS:
        reference = reference_graph(network, canvas_px)
        for precision, form in FORMS.items():
            graph = form(reference)
            for capabilities in KINDS:
                found = plan_line(graph, capabilities, turns)
                line = {"network": network, "precision": precision, **found, "library": NAME}
                with out.open("a") as stream:
                    stream.write(json.dumps({**line, **host_facts()}) + "\n")
                click.echo(json.dumps(line))


if __name__ == "__main__":
    main()
