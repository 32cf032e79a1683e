"""Which engine and which graph score a bundle on this PC, where nobody named them.

`vexas-edge prepare` measures what is installed and remembers it; this reads what it remembered.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import msgspec

from vexas_edge.bundle import Bundle
from vexas_edge.engines import Device, EngineName, EngineOptions, Precision
from vexas_edge.host import this_host
from vexas_edge.host_cache import find, store
from vexas_edge.precision import ChosenGraph, choose_graph

# A cheaper graph that is not so many times as fast as float32 is not worth its rounding.
LEAST_GAIN = 1.2

_KIND = "prepared"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One way to run a bundle here. ms_a_cell: of all its models together, absent with a problem.

    problem: why it cannot be used on this PC.
    """

    engine: EngineName
    device: Device
    precision: Precision
    ms_a_cell: float | None = None
    problem: str | None = None


def remember(bundle: Bundle, measured: Sequence[Measured], threads: int | None) -> None:
    """Keep what was measured, for this bundle on this PC as it is now.

    Raises:
        HostError: the cache cannot be written.
    """
    store(_KIND, _key(bundle, threads), msgspec.json.encode(list(measured)))


def choose(
    bundle: Bundle, options: EngineOptions, precision: Literal["auto"] | Precision
) -> tuple[EngineOptions, ChosenGraph]:
    """The engine, no longer "auto", and the graph; a named engine is never replaced.

    Raises:
        HostError: what was asked for is not to be had on this PC with this bundle.
    """
    if options.engine != "auto":
        return options, choose_graph(bundle.manifest, precision, options)
    found = find(_KIND, _key(bundle, options.threads), same="bundle")
    measured = msgspec.json.decode(found.content, type=list[Measured]) if found.content else []
    best = fastest(measured, options.device, precision)
    if best is None:
        missed = found.missed or "nothing that was measured suits"
        options = replace(options, engine="onnxruntime")
        graph = choose_graph(bundle.manifest, precision, options)
        return options, replace(graph, reason=f"{graph.reason}; not prepared: {missed}")
    options = replace(options, engine=best.engine, device=best.device)
    graph = choose_graph(bundle.manifest, best.precision, options)
    reason = (
        f"the fastest on this PC of {len(measured)} that `vexas-edge prepare` measured: "
        f"{best.ms_a_cell:.3g} ms a cell"
    )
    return options, replace(graph, reason=reason)


def fastest(
    measured: Sequence[Measured],
    device: Device = "auto",
    precision: Literal["auto"] | Precision = "auto",
) -> Measured | None:
    """The fastest that agrees and suits; a cheaper precision only if it gains `LEAST_GAIN`."""
    suiting = {
        m: m.ms_a_cell
        for m in measured
        if m.ms_a_cell is not None
        and device in ("auto", m.device)
        and precision in ("auto", m.precision)
    }
    exact = {m: ms for m, ms in suiting.items() if m.precision == "fp32"}
    if precision == "auto" and exact:
        limit = min(exact.values()) / LEAST_GAIN
        suiting = exact | {m: ms for m, ms in suiting.items() if ms <= limit}
    return min(suiting, key=suiting.__getitem__, default=None)


def _key(bundle: Bundle, threads: int | None) -> dict[str, object]:
    return {"bundle": bundle.sha256, **asdict(this_host(threads))}
