"""Which of a bundle's graphs runs on this PC, and why that one."""

from dataclasses import dataclass
from typing import Literal

from vexas_edge.bundle.graphs import FUSED, graph_file
from vexas_edge.bundle.manifest import Manifest
from vexas_edge.engines.contract import EngineOptions, Precision
from vexas_edge.engines.opening import has_cuda
from vexas_edge.errors import HostError
from vexas_edge.host.cpu import has_vnni


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenGraph:
    """The graph that every model of a bundle is run with.

    reason: for people. proved: whether its self-test passed on this PC as it is now. stale: why
    what `vexas-edge prepare` once found here no longer holds; empty where it does, or never was.
    """

    precision: Precision
    file: str
    reason: str
    proved: bool = False
    stale: str = ""


def choose_graph(
    manifest: Manifest, asked: Literal["auto"] | Precision, options: EngineOptions
) -> ChosenGraph:
    """What was asked for; with "auto" the cheapest that was tested and suits this PC.

    Raises:
        HostError: the precision asked for does not run here, is not in the bundle, or is untested.
    """
    if asked == "auto":
        return _cheapest(manifest, options)
    if asked == "fp32":
        return ChosenGraph(precision="fp32", file=FUSED, reason="asked for")
    file = _cheaper(options).get(asked)
    if file is None and asked == "fp16":
        raise HostError(
            "this CPU would compute a float16 graph in float32: it runs on a GPU; "
            "use --precision int8 or fp32 here"
        )
    if file is None:
        raise HostError(
            "the int8 graphs that this engine runs are for the CPU; use --device cpu, "
            "--engine tensorrt, or --precision fp16 or fp32"
        )
    if problem := _problem(manifest, file):
        raise HostError(
            f"bundle {manifest.name}: {problem}; use --precision fp32, or have the graph made and "
            "judged by `python -m calibration` where the model was trained"
        )
    return ChosenGraph(precision=asked, file=file, reason="asked for")


def int8_file() -> str:
    """The int8 graph for this PC's CPU."""
    return graph_file("int8" if has_vnni() else "int8-rr")


def _cheaper(options: EngineOptions) -> dict[Precision, str]:
    """The cheaper graph of each precision that the engine runs where the options say."""
    if options.engine == "tensorrt":
        return {"fp16": graph_file("fp16"), "int8": graph_file("int8-trt")}
    return {"fp16": graph_file("fp16")} if _on_gpu(options) else {"int8": int8_file()}


def _on_gpu(options: EngineOptions) -> bool:
    """Whether graphs run on a GPU; TensorRT runs nowhere else."""
    return options.engine == "tensorrt" or (options.device != "cpu" and has_cuda(options))


def _cheapest(manifest: Manifest, options: EngineOptions) -> ChosenGraph:
    if _on_gpu(options):
        # An fp16 graph is judged by emulation until a GPU has run it, so it is used on request.
        return ChosenGraph(precision="fp32", file=FUSED, reason="the reference, on a GPU")
    file = int8_file()
    if problem := _problem(manifest, file):
        return ChosenGraph(precision="fp32", file=FUSED, reason=problem)
    suits = "with" if has_vnni() else "without"
    reason = f"{file}, tested for every model, suits a CPU {suits} VNNI"
    return ChosenGraph(precision="int8", file=file, reason=reason)


def _problem(manifest: Manifest, file: str) -> str | None:
    """Why not all models can be run with this graph."""
    for name, model in manifest.models.items():
        if file not in model.files:
            return f"model {name!r} has no {file}"
        entry = model.files[file]
        if not (entry.tested and isinstance(entry.measured.get("gate"), dict)):
            return f"{file} of model {name!r} is untested: no gate has judged it on patients"
    return None
