"""Makes cheaper graphs of one model, each proven to compute in the precision that it claims."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from calibration.fp16 import half_precision
from calibration.integers.biases import with_corrected_biases
from calibration.integers.grids import Scheme
from calibration.integers.layers import WEIGHTED
from calibration.integers.recipe import calibrate, first_cells, round_model
from calibration.proof.census import Census, executed_census, written_census
from calibration.proof.preflight import preflight_findings
from calibration.region import encoder_region, takes_maps
from calibration.rehearsal import KeptLayer, Rehearsal, choose_float_layers, choose_ranges
from export.graph import between
from vexas_edge.bundle.budgets import Budgets
from vexas_edge.bundle.contract import CELLS, EMBEDDING
from vexas_edge.bundle.graphs import EMULATED, graph_file
from vexas_edge.errors import BundleError, HostError
from vexas_edge.host.cpu import cpu_name, has_vnni
from vexas_edge.host.libraries import load_library
from vexas_edge.talk import Progress

onnxruntime = load_library("onnxruntime")

# Of an activation's values that ranges cover, where a few extreme ones would make steps too coarse.
_PERCENTILE = 99.999

SCHEMES = {
    "int8": Scheme(),
    "int8-rr": Scheme(weight_bits=7),
    # A signed grid uses only half its integers for a rectifier's output, so covering the rarest
    # values as well would make its steps too coarse.
    "int8-trt": Scheme(signed=True, percentile=_PERCENTILE),
}

_NO_VNNI = "this CPU has no VNNI, without which 8-bit weights may saturate"

# Judged by an emulation with the same arithmetic, as none has run on the device it is for yet.
_FOR_TENSORRT = ("fp16", "int8-trt")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A graph to be judged.

    measured: figures known before that, for the manifest.
    """

    kind: str
    graph: ModelProto
    measured: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class IntegerPlan:
    """How integer graphs are made.

    kinds: of the graphs to make.
    budgets: of the bundle.
    percentile: as in `Scheme`; None for what suits each kind, as the rehearsal shows.
    cells_key: a hash of the cells, for the cache.
    cache: the folder in which ranges are kept, or None.
    """

    kinds: Sequence[str]
    budgets: Budgets
    percentile: float | None
    cells_key: str
    cache: Path | None

    def schemes(self, kind: str) -> tuple[Scheme, ...]:
        """The schemes to be tried for a kind, in this order."""
        own = SCHEMES[kind]
        if self.percentile is not None:
            return (replace(own, percentile=self.percentile),)
        others = [p for p in (None, _PERCENTILE) if p != own.percentile]
        return (own, *(replace(own, percentile=p) for p in others))


def judgeable_kinds(kinds: Sequence[str], warn: Callable[[str], None]) -> tuple[str, ...]:
    """Those of the kinds that this CPU can judge, with a warning per kind that it cannot."""
    judgeable = tuple(kind for kind in kinds if _sums_exactly(kind))
    for kind in kinds:
        if kind not in judgeable:
            warn(f"{graph_file(kind)} is left out: {_NO_VNNI}; a CPU that has it can judge it")
    return judgeable


def _sums_exactly(kind: str) -> bool:
    return kind != "int8" or has_vnni()


def check_judgeable(kinds: Sequence[str]) -> None:
    """Check that this CPU can judge graphs of all these kinds.

    Raises:
        HostError: it cannot judge one of them.
    """
    for kind in kinds:
        if not _sums_exactly(kind):
            raise HostError(
                f"{graph_file(kind)} cannot be judged here: {_NO_VNNI}; make the others with "
                "--only int8-rr --only int8-trt, and this one on a CPU that has it"
            )


def half_candidate(reference: ModelProto) -> Candidate:
    """The float16 graph.

    Raises:
        BundleError: a weight does not fit into float16, or TensorRT would not accept the graph.
    """
    graph = half_precision(reference)
    census = written_census(*counted(graph, reference))
    _check_census("fp16", census, kept=())
    _check_preflight(graph)
    return Candidate(kind="fp16", graph=graph, measured=_measured("fp16", census, ()))


def integer_candidates(
    reference: ModelProto,
    batches: Callable[[], Iterator[np.ndarray]],
    rehearsal: Rehearsal,
    plan: IntegerPlan,
    progress: Progress,
) -> list[Candidate]:
    """The integer graphs of the plan's kinds, all made from one calibration.

    Raises:
        BundleError: an operator cannot be converted, or a layer would not run in integers.
    """
    schemes = {kind: plan.schemes(kind) for kind in plan.kinds}
    found = calibrate(
        reference,
        batches,
        percentiles={scheme.percentile for tried in schemes.values() for scheme in tried},
        cells_key=plan.cells_key,
        cache=plan.cache,
    )
    candidates = []
    for kind, tried in schemes.items():
        budget = plan.budgets.of(kind).cosine_p1
        models = (
            with_corrected_biases(round_model(found, scheme), first_cells(batches))
            for scheme in tried
        )
        rounded = choose_ranges(models, rehearsal, budget)
        kept = choose_float_layers(rounded, rehearsal, budget, progress)
        graph = rounded.graph([layer.layer for layer in kept])
        if kind in _FOR_TENSORRT:
            census = written_census(*counted(graph, reference))
            _check_preflight(graph)
        else:
            part, without = counted(graph, reference)
            census = executed_census(part, {CELLS: next(batches())[:1]}, without)
        _check_census(kind, census, kept)
        measured = {**_measured(kind, census, kept), "percentile": rounded.scheme.percentile}
        candidates.append(Candidate(kind=kind, graph=graph, measured=measured))
    return candidates


def counted(graph: ModelProto, reference: ModelProto) -> tuple[ModelProto, list[str]]:
    """The part of a cheaper graph whose layers are counted, and those in it that are not.

    Of rows of numbers, what follows the converted layers may hold products without weights.
    """
    if takes_maps(reference):
        return encoder_of(graph), dense_layers(reference)
    return between(graph, [CELLS], [encoder_region(reference).exit]), []


def encoder_of(graph: ModelProto) -> ModelProto:
    """The part of a fused graph from cells to embedding."""
    return between(graph, [CELLS], [EMBEDDING])


def dense_layers(model: ModelProto) -> list[str]:
    """Names of the layers after the final pooling, which stay in float32 in every precision."""
    region = encoder_region(model)
    if region.exit == EMBEDDING:
        return []
    after = between(model, [region.exit], [EMBEDDING]).graph.node
    return [node.name for node in after if node.op_type in WEIGHTED]


def _check_census(kind: str, census: Census, kept: Sequence[KeptLayer]) -> None:
    """Check that exactly the kept layers compute in float32.

    Raises:
        BundleError: others do, or a kept one does not.
    """
    meant = {layer.layer for layer in kept}
    found = {name: _kept_name(name, meant) for name in census.float_layers}
    unexpected = [name for name, layer in found.items() if layer is None]
    if unexpected:
        raise BundleError(
            f"the {kind} graph would still compute {len(unexpected)} layers in float32: "
            f"{', '.join(unexpected[:5])}"
        )
    if missing := meant.difference(filter(None, found.values())):
        raise BundleError(
            f"the {kind} graph should keep {', '.join(sorted(missing))} in float32, but does not"
        )


def _kept_name(executed: str, kept: Collection[str]) -> str | None:
    """The kept layer that an executed node belongs to, if any; the optimiser appends to names."""
    return next((name for name in kept if executed.startswith(f"{name}/float")), None)


def _check_preflight(graph: ModelProto) -> None:
    findings = preflight_findings(graph)
    if findings:
        listed = "; ".join(f"{f.rule}: {f.where}: {f.message}" for f in findings[:3])
        raise BundleError(f"TensorRT 11 would not accept the graph: {listed}")


def _measured(kind: str, census: Census, kept: Sequence[KeptLayer]) -> dict[str, Any]:
    emulated = kind in _FOR_TENSORRT
    return {
        "ran_on": EMULATED if emulated else f"onnxruntime {onnxruntime.__version__}, {cpu_name()}",
        "multiply_adds": {
            "int8": round(census.int8, 6),
            "fp16": round(census.fp16, 6),
            "fp32": round(census.fp32, 6),
        },
        "kept_float": [asdict(layer) for layer in kept],
    }
