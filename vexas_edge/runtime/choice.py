"""Which engine and which graph score a bundle on this PC, where nobody named them.

`vexas-edge prepare` measures what is installed and remembers it; this reads what it remembered.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import msgspec

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.graphs import FUSED, graph_file
from vexas_edge.bundle.manifest import Manifest
from vexas_edge.choices import Device, EngineName, Precision
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import abilities_of, packages_that_count, runs_on_gpu
from vexas_edge.errors import HostError
from vexas_edge.host.cache import Found, find, store
from vexas_edge.host.cpu import has_vnni
from vexas_edge.host.facts import this_host

# A cheaper graph that is not so many times as fast as float32 is not worth its rounding.
LEAST_GAIN = 1.2

_KIND = "prepared"
# Counts up when engines are set up, tested or remembered otherwise.
_RECIPE = 1


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One way to run a bundle here. ms_per_cell: of all its models together, absent with a problem.

    emulated: whether patients judged the graph by an emulation alone, so it runs on request only.
    problem: why it cannot be used on this PC.
    """

    engine: EngineName
    device: Device
    precision: Precision
    emulated: bool = False
    ms_per_cell: float | None = None
    problem: str | None = None


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


def remember(bundle: Bundle, measured: Sequence[Measured]) -> None:
    """Keep what was measured, for this bundle on this PC as it is now.

    Raises:
        HostError: the cache cannot be written.
    """
    store(_KIND, _key(bundle), msgspec.json.encode(list(measured)))


def choose(
    bundle: Bundle, options: EngineOptions, precision: Literal["auto"] | Precision
) -> tuple[EngineOptions, ChosenGraph]:
    """The engine, no longer "auto", and the graph; a named engine is never replaced.

    Raises:
        HostError: what was asked for is not to be had on this PC with this bundle.
    """
    if options.engine != "auto":
        return options, choose_graph(bundle.manifest, precision, options)
    found = find(_KIND, _key(bundle), same="bundle")
    measured = msgspec.json.decode(found.content, type=list[Measured]) if found.content else []
    best = fastest(measured, options.device, precision)
    if best is None:
        return _unprepared(bundle, options, precision, found, measured)
    options = replace(options, engine=best.engine, device=best.device)
    graph = choose_graph(bundle.manifest, best.precision, options)
    reason = (
        f"the fastest on this PC of {len(measured)} that `vexas-edge prepare` measured: "
        f"{best.ms_per_cell:.3g} ms a cell"
    )
    return options, replace(graph, reason=reason, proved=True)


def _unprepared(
    bundle: Bundle,
    options: EngineOptions,
    precision: Literal["auto"] | Precision,
    found: Found,
    measured: Sequence[Measured],
) -> tuple[EngineOptions, ChosenGraph]:
    """The reference engine, unless `prepare` has found that it fails here."""
    options = replace(options, engine="onnxruntime")
    graph = choose_graph(bundle.manifest, precision, options)
    for way in measured:
        if way.problem and (way.engine, way.precision) == ("onnxruntime", graph.precision):
            raise HostError(f"`vexas-edge prepare` found: {way.problem}")
    missed = found.missed or "nothing that was measured suits"
    reason = f"{graph.reason}; not prepared: {missed}"
    return options, replace(graph, reason=reason, stale=found.missed if found.outdated else "")


def fastest(
    measured: Sequence[Measured],
    device: Device = "auto",
    precision: Literal["auto"] | Precision = "auto",
) -> Measured | None:
    """The fastest that agrees and suits.

    With "auto", a cheaper precision only if patients judged it in a real engine and it gains
    `LEAST_GAIN`.
    """
    suiting = {
        m: m.ms_per_cell
        for m in measured
        if m.ms_per_cell is not None
        and device in ("auto", m.device)
        and (precision == m.precision or (precision == "auto" and not m.emulated))
    }
    exact = {m: ms for m, ms in suiting.items() if m.precision == "fp32"}
    if precision == "auto" and exact:
        limit = min(exact.values()) / LEAST_GAIN
        suiting = exact | {m: ms for m, ms in suiting.items() if ms <= limit}
    return min(suiting, key=suiting.__getitem__, default=None)


def _key(bundle: Bundle) -> dict[str, object]:
    """All that the choice depends on but the number of threads, which favours no engine."""
    host = asdict(this_host(packages_that_count()))
    del host["threads"]
    return {"bundle": bundle.sha256, "recipe": _RECIPE, **host}


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
    file = _graph_file(options, asked)
    if file is None:
        raise HostError(_why_not(options, asked))
    if problem := _problem(manifest, file):
        raise HostError(
            f"bundle {manifest.name}: {problem}; use --precision fp32, or have the graph made and "
            "judged by `vexas-workshop calibrate` where the model was trained"
        )
    return ChosenGraph(precision=asked, file=file, reason="asked for")


def _why_not(options: EngineOptions, asked: Precision) -> str:
    """Why an engine does not run a precision where the options say, and what to do."""
    if asked == "fp16" and not runs_on_gpu(options):
        return (
            "this CPU would compute a float16 graph in float32: it runs on a GPU; "
            "use --precision int8 or fp32 here"
        )
    if asked == "int8" and runs_on_gpu(options):
        return (
            "the int8 graphs that this engine runs are for the CPU; use --device cpu, "
            "--engine tensorrt, or --precision fp16 or fp32"
        )
    return f"{options.engine} does not run graphs in {asked}; use --precision fp32"


def int8_file() -> str:
    """The int8 graph for this PC's CPU."""
    return graph_file("int8" if has_vnni() else "int8-rr")


def _graph_file(options: EngineOptions, precision: Precision) -> str | None:
    """The graph that the engine runs in a precision where the options say; None if it does not."""
    device: Device = "cuda" if runs_on_gpu(options) else "cpu"
    kind = abilities_of(options.engine).graphs[device].get(precision)
    if kind == "int8":
        return int8_file()
    return graph_file(kind) if kind else None


def _cheapest(manifest: Manifest, options: EngineOptions) -> ChosenGraph:
    if runs_on_gpu(options):
        # An fp16 graph is judged by emulation until a GPU has run it, so it is used on request.
        return ChosenGraph(precision="fp32", file=FUSED, reason="the reference, on a GPU")
    file = _graph_file(options, "int8")
    if file is None:
        return ChosenGraph(precision="fp32", file=FUSED, reason="the reference")
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
