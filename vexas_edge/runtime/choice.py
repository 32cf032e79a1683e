"""The choice of the engine and the graph that score a bundle on this PC.

`vexas-edge prepare` measures what is installed and remembers it; the choice goes by what it
remembered, except where the user names an engine or a precision.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

import msgspec

from vexas_edge.bundle.contract import Tensor
from vexas_edge.bundle.graphs import FUSED, graph_file
from vexas_edge.bundle.manifest import Manifest
from vexas_edge.choices import ENGINES, Device, EngineName, Precision
from vexas_edge.engines.contract import CallSize, EngineOptions
from vexas_edge.engines.opening import abilities_of, device_of, packages_that_count
from vexas_edge.errors import HostError
from vexas_edge.host.cache import Found, find_value, store
from vexas_edge.host.cpu import has_vnni
from vexas_edge.host.facts import this_host

if TYPE_CHECKING:
    from vexas_edge.bundle.archive import Bundle

# A cheaper graph must be this many times as fast as float32 to be worth its rounding.
LEAST_GAIN = 1.2

# The most rows of numbers in one call. It is larger than for others, as the weights of a layer that
# takes all of a cell's numbers are read once a call.
_ROWS_OF_NUMBERS = CallSize(rows=128, values=4 << 20)

_KIND = "prepared"
# Raise this number when engines are set up, tested or remembered in another way.
_RECIPE = 2


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One way to run a bundle on this PC.

    emulated: whether the graph was judged on patients by an emulation alone; such a graph runs on
    request only.
    setting: how the engine is set up; empty for an engine that has only one way.
    cells_per_call: how many cells go into one call; None for what suits the device.
    ms_per_cell: the time per cell of all models together; None if there is a problem.
    problem: why this way cannot be used on this PC.
    """

    engine: EngineName
    device: Device
    precision: Precision
    emulated: bool = False
    setting: str = ""
    cells_per_call: int | None = None
    ms_per_cell: float | None = None
    problem: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenGraph:
    """The graph that every model of a bundle is run with.

    reason: why it was chosen, for people.
    proved: whether its self-test has passed on this PC as it is now.
    stale: why what `vexas-edge prepare` once found here no longer holds; empty if it still holds,
    or if nothing was ever found.
    """

    precision: Precision
    file: str
    reason: str
    proved: bool = False
    stale: str = ""


def remember(bundle: "Bundle", measured: Sequence[Measured]) -> None:
    """Keep what was measured, for this bundle on this PC as it is now.

    Raises:
        HostError: the cache cannot be written.
    """
    store(_KIND, key_on_this_pc(bundle), msgspec.json.encode(list(measured)))


def choose(
    bundle: "Bundle", options: EngineOptions, precision: Literal["auto"] | Precision
) -> tuple[EngineOptions, ChosenGraph]:
    """The options with an engine in place of "auto", and the graph; a named engine is kept.

    Raises:
        HostError: what was asked for is not available on this PC with this bundle.
    """
    if options.engine != "auto":
        return options, choose_graph(bundle.manifest, precision, options)
    remembered, found = find_value(
        _KIND, key_on_this_pc(bundle), same="bundle", type_=list[Measured]
    )
    measured = remembered or []
    best = fastest(measured, options.device, precision)
    if best is None:
        return _unprepared(bundle, options, precision, found, measured)
    options = replace(
        options,
        engine=best.engine,
        device=best.device,
        setting=best.setting,
        rows_per_call=best.cells_per_call,
    )
    graph = choose_graph(bundle.manifest, best.precision, options)
    n_timed = sum(way.ms_per_cell is not None for way in measured)
    reason = (
        f"the fastest on this PC of {n_timed} that `vexas-edge prepare` timed: "
        f"{best.ms_per_cell:.3g} ms per cell{_set_up(best)}"
    )
    return options, replace(graph, reason=reason, proved=True)


def _set_up(way: Measured) -> str:
    """How the engine is set up, in words; empty for an engine that has only one way."""
    setting = f", set up as {way.setting}" if way.setting else ""
    return setting + (f", {way.cells_per_call} cells per call" if way.cells_per_call else "")


def _unprepared(
    bundle: "Bundle",
    options: EngineOptions,
    precision: Literal["auto"] | Precision,
    found: Found,
    measured: Sequence[Measured],
) -> tuple[EngineOptions, ChosenGraph]:
    """The first engine for the device and its graph, unless `prepare` found that they fail here."""
    options = replace(options, engine=_engine_for(options.device))
    graph = choose_graph(bundle.manifest, precision, options)
    for way in measured:
        if way.problem and (way.engine, way.precision) == ("onnxruntime", graph.precision):
            raise HostError(f"`vexas-edge prepare` found: {way.problem}")
    missed = found.missed or "nothing that was measured fits what was asked for"
    reason = f"{graph.reason}; not prepared: {missed}"
    return options, replace(graph, reason=reason, stale=found.missed if found.outdated else "")


def _engine_for(device: Device) -> EngineName:
    """The engine that runs on a device if nothing is known of this PC: the first that can."""
    names = (engine for engine in ENGINES if device in abilities_of(engine).graphs)
    return next((name for name in names if name != "auto"), "onnxruntime")


def fastest(
    measured: Sequence[Measured],
    device: Device = "auto",
    precision: Literal["auto"] | Precision = "auto",
) -> Measured | None:
    """The fastest way that works and fits what was asked for; None if there is none.

    With precision "auto", a cheaper precision is taken only if it was judged on patients in a real
    engine and is `LEAST_GAIN` times as fast as float32.
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


def key_on_this_pc(bundle: "Bundle") -> dict[str, object]:
    """Everything that the choice depends on. The number of threads is left out: it favours none."""
    host = asdict(this_host(packages_that_count()))
    del host["threads"]
    return {"bundle": bundle.sha256, "recipe": _RECIPE, **host}


def choose_graph(
    manifest: Manifest, asked: Literal["auto"] | Precision, options: EngineOptions
) -> ChosenGraph:
    """The graph of the precision asked for; with "auto", the cheapest tested one for this PC.

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
    if asked == "fp16" and device_of(options) == "cpu":
        return (
            "a float16 graph is for a GPU; on this CPU it would be computed in float32: "
            "use --precision int8 or fp32 here"
        )
    if asked == "int8" and device_of(options) == "cuda":
        return (
            "the int8 graphs that this engine runs are for the CPU; use --device cpu, "
            "--engine tensorrt, or --precision fp16 or fp32"
        )
    return f"{options.engine} does not run graphs in {asked}; use --precision fp32"


def int8_file() -> str:
    """The file name of the int8 graph for this PC's CPU."""
    return graph_file("int8" if has_vnni() else "int8-rr")


def _graph_file(options: EngineOptions, precision: Precision) -> str | None:
    """The graph that these options run in a precision; None if the engine has none for it."""
    kind = abilities_of(options.engine).graphs[device_of(options)].get(precision)
    if kind == "int8":
        return int8_file()
    return graph_file(kind) if kind else None


def _cheapest(manifest: Manifest, options: EngineOptions) -> ChosenGraph:
    if device_of(options) != "cpu":
        # An fp16 graph is judged by emulation until a GPU has run it, so it runs on request only.
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
    """Why not every model can be run with this graph; None if every model can."""
    for name, model in manifest.networks.items():
        if file not in model.files:
            return f"model {name!r} has no {file}"
        entry = model.files[file]
        if not (entry.tested and isinstance(entry.measured.get("gate"), dict)):
            return f"{file} of model {name!r} is untested: no gate has judged it on patients"
    return None


def cells_per_call(options: EngineOptions, cells: Tensor) -> int:
    """The most cells that an engine is given in one call, unless the caller says otherwise.

    Args:
        cells: the graph's input of cells.
    """
    if options.rows_per_call:
        return options.rows_per_call
    if len(cells.row_shape) == 1:
        return _ROWS_OF_NUMBERS.rows_of(cells.row_shape)
    size = abilities_of(options.engine).call_sizes[device_of(options)]
    return size.rows_of(cells.row_shape)
