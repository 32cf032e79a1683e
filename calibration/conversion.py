"""Makes a bundle's cheaper graphs, judges them on other patients, and adds those that passed."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from onnx import ModelProto

from calibration.additions import NewGraph, add_graphs
from calibration.candidates import (
    Candidate,
    IntegerPlan,
    check_judgeable,
    half_candidate,
    integer_candidates,
)
from calibration.gate.cases import OpenedCase, open_cases
from calibration.gate.figures import GateError, manifest_figures
from calibration.gate.gate import NOT_JUDGED, Gate, JudgedKind
from calibration.gate.judgement import REFERENCE, check_cohort
from calibration.gate.samples import draw_rows, draw_samples
from calibration.gate.smears import Smear, check_apart, check_read, opened_canvas
from calibration.gate.tables import CohortTable
from calibration.gate.verdict import AnyResult, Verdict, warning_from_verdict
from calibration.rehearsal import Rehearsal
from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.graphs import FUSED, graph_file
from vexas_edge.bundle.manifest import Manifest
from vexas_edge.cells.canvas import Canvas
from vexas_edge.errors import UsageError
from vexas_edge.smear.cohort import CohortCase
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import Progress

NO_GATE = "none"


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What was asked for.

    kinds: of the graphs to make.
    calibrate, gate: splits of the cohort; gate may be "none".
    samples: cells per model that ranges are found on.
    seed: of the choice of these cells.
    percentile: per cent of an activation's values that its range covers; None for what suits each
        kind.
    cache: the folder in which ranges are kept.
    """

    cohort: Sequence[CohortCase]
    kinds: tuple[str, ...]
    reading: ReadOptions = field(default_factory=ReadOptions)
    calibrate: str = "fit"
    gate: str = "judge"
    samples: int = 512
    seed: int = 0
    percentile: float | None = None
    cache: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Console:
    """Where progress, verdicts and warnings are reported.

    warn: takes one line of text.
    """

    progress: Progress
    show: Callable[[Verdict], None]
    warn: Callable[[str], None]


def add_precisions(bundle: Bundle, asked: Conversion, to: Path, console: Console) -> Manifest:
    """Write the bundle with those of the graphs asked for that pass; returns the new manifest.

    Raises:
        HostError: this CPU cannot judge a graph that was asked for.
        InputError: the cohort cannot be used, or calibration and gate overlap.
        BundleError: a graph cannot be made.
        GateError: a graph did not pass. Those that did are added nevertheless; the message names
            both.

    Nothing is written in any other case, nor if no graph passed.
    """
    check_judgeable(asked.kinds)
    with ExitStack() as stack:
        smears = _open(bundle, asked, console, stack)
        judged: list[tuple[NewGraph, Verdict]] = []
        for name in bundle.manifest.networks:
            for graph, verdict in _convert(bundle, name, asked, smears, console):
                console.show(verdict)
                if warning := warning_from_verdict(verdict):
                    console.warn(warning)
                judged.append((graph, verdict))
    return _with_passed(bundle, judged, to)


def _with_passed(bundle: Bundle, judged: Sequence[tuple[NewGraph, Verdict]], to: Path) -> Manifest:
    """Write the bundle with the graphs that passed; raises GateError if some did not."""
    passed = [(graph, verdict.name) for graph, verdict in judged if not verdict.missed]
    missed = [f"{v.name}: {text}" for _, v in judged for text in v.missed]
    if not passed:
        raise GateError(f"{to} is unchanged; over budget: {'; '.join(missed)}")
    manifest = add_graphs(bundle, [graph for graph, _ in passed], to)
    if missed:
        added = ", ".join(name for _, name in passed)
        raise GateError(
            f"not all graphs passed: added to {to}: {added}; not added, as over budget: "
            f"{'; '.join(missed)}"
        )
    return manifest


@dataclass(frozen=True, kw_only=True)
class _Smears:
    """Smears and canvases that are open while graphs are made.

    canvases: by model; none for fp16, which needs no calibration.
    """

    calibration: tuple[OpenedCase, ...]
    gate: tuple[OpenedCase, ...]
    canvases: dict[str, Canvas]


def _open(bundle: Bundle, asked: Conversion, console: Console, stack: ExitStack) -> _Smears:
    """The smears of both splits, with a warning per file that cannot be read."""
    rows = asked.cohort
    calibration: tuple[OpenedCase, ...] = ()
    gate: tuple[OpenedCase, ...] = ()
    canvases: dict[str, Canvas] = {}
    if asked.kinds != ("fp16",):
        if asked.gate == asked.calibrate:
            raise UsageError(
                f"calibration and gate both use the split {asked.gate!r}; name another with "
                "--calibrate or --gate"
            )
        calibration = open_cases(bundle, rows, asked.calibrate, asked.reading, stack)
        for name in bundle.manifest.networks:
            canvases[name] = stack.enter_context(opened_canvas(bundle, name))
    if asked.gate == NO_GATE:
        _check_ungated(bundle, asked, rows)
    else:
        gate = open_cases(bundle, rows, asked.gate, asked.reading, stack)
        check_cohort(gate, bundle.manifest)
        check_read(gate)
    check_apart(calibration, gate)
    for smear in (*calibration, *gate):
        for text in smear.faults:
            console.warn(f"not used: {text}")
    return _Smears(calibration=calibration, gate=gate, canvases=canvases)


def _check_ungated(bundle: Bundle, asked: Conversion, rows: Sequence[CohortCase]) -> None:
    if any(row.split == NO_GATE for row in rows):
        raise UsageError(
            f"the cohort has a split called {NO_GATE!r}, which --gate understands as no gate; "
            "rename it"
        )
    for name, model in bundle.manifest.networks.items():
        for kind in asked.kinds:
            entry = model.files.get(graph_file(kind))
            if entry and entry.tested:
                raise UsageError(
                    f"{graph_file(kind)} of model {name!r} was tested; an untested one must not "
                    "replace it. Name a split with --gate, or start from the exported bundle"
                )


def _convert(
    bundle: Bundle, name: str, asked: Conversion, smears: _Smears, console: Console
) -> list[tuple[NewGraph, Verdict]]:
    """One model's graphs, each with the gate's verdict."""
    reference = ModelProto.FromString(bundle.model_file(name, FUSED))
    made = _make(bundle, name, reference, asked, smears, console)
    contents = {c.kind: c.graph.SerializeToString(deterministic=True) for c in made.candidates}
    judged: Mapping[str, JudgedKind] = {}
    if smears.gate:
        gate = Gate(
            smears=smears.gate,
            calibration_encodings=made.encodings,
            progress=console.progress,
            warn=console.warn,
        )
        judged = gate.judged(bundle, name, {REFERENCE: reference, **contents})
    budgets = bundle.manifest.budgets
    found = []
    for candidate in made.candidates:
        kind = candidate.kind
        result, missed = judged.get(kind, NOT_JUDGED)
        graph = NewGraph(
            model=name,
            file=graph_file(kind),
            content=contents[kind],
            measured={
                **candidate.measured,
                **made.facts,
                "gate": NO_GATE if result is None else manifest_figures(result),
                "budget": msgspec.to_builtins(budgets.of(kind)),
            },
            tested=result is not None,
        )
        verdict = _verdict(name, candidate, result, missed)
        found.append((graph, verdict))
    return found


def _verdict(
    name: str, candidate: Candidate, result: AnyResult | None, missed: Sequence[str]
) -> Verdict:
    measured = candidate.measured
    return Verdict(
        model=name,
        kind=candidate.kind,
        result=result,
        missed=tuple(missed),
        integers=None if candidate.kind == "fp16" else measured["multiply_adds"]["int8"],
        kept_float={layer["layer"]: layer["multiply_adds"] for layer in measured["kept_float"]},
    )


@dataclass(frozen=True, kw_only=True)
class _Made:
    """Graphs that are not judged yet.

    facts: what the manifest says of their calibration.
    encodings: the reference's encodings of calibration's cells; None for fp16.
    """

    candidates: Sequence[Candidate]
    facts: dict[str, Any] = field(default_factory=dict)
    encodings: np.ndarray | None = None


def _make(
    bundle: Bundle,
    name: str,
    reference: ModelProto,
    asked: Conversion,
    smears: _Smears,
    console: Console,
) -> _Made:
    if asked.kinds == ("fp16",):
        return _Made(candidates=[half_candidate(reference)])
    model = bundle.manifest.networks[name]
    tables = [one for one in smears.calibration if isinstance(one, CohortTable)]
    if tables:
        sample, rehearsed = draw_rows(tables, name, asked.samples, asked.seed)
    else:
        own = [one for one in smears.calibration if isinstance(one, Smear)]
        canvas = smears.canvases[name]
        sample, rehearsed = draw_samples(own, model, canvas, asked.samples, asked.seed)
    for text in sample.unreadable:
        console.warn(f"not used: {text}")
    rehearsal = Rehearsal(reference, rehearsed)
    plan = IntegerPlan(
        kinds=asked.kinds,
        budgets=bundle.manifest.budgets,
        percentile=asked.percentile,
        cells_key=sample.key,
        cache=asked.cache,
    )
    batches = sample.with_progress(console.progress, f"{name}, activations")
    facts = {
        "cells": len(sample),
        "patients": len(set(sample.patients)),
        "cells_sha256": sample.key,
        "seed": asked.seed,
    }
    return _Made(
        candidates=integer_candidates(reference, batches, rehearsal, plan, console.progress),
        facts={"calibration": facts},
        encodings=rehearsal.encodings,
    )
