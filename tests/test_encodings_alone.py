"""Scoring with an engine that gives encodings alone, as TensorRT's does, and what guards it.

The engine here is onnxruntime's, with its other outputs left out and a fault on request.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_runtime_choice import with_graphs
from tiny import bundle_content, rewritten, there

from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.contract import ENCODINGS
from vexas_edge.bundle.graphs import HEAD, precision_of
from vexas_edge.choices import Device
from vexas_edge.engines import onnxruntime, opening
from vexas_edge.engines.contract import Abilities, CallSize, Engine, EngineModule, EngineOptions
from vexas_edge.errors import DeviceMemoryError, HostError
from vexas_edge.results.values import CaseScore
from vexas_edge.runtime.choice import Measured, remember
from vexas_edge.runtime.prepare import prepare_bundle
from vexas_edge.runtime.session import Sessions

TENSORRT = EngineOptions(engine="tensorrt", threads=2)


class Alone:
    """An engine of onnxruntime whose other outputs nobody sees."""

    name, device = "tensorrt", "cuda"

    def __init__(self, inner: Engine, module: "EncodingsAlone") -> None:
        self._inner, self._module = inner, module
        self.version, self.threads = "RTX 0", inner.threads
        self.most_rows: Mapping[str, int] = {"cells": 128}
        self.shapes = {k: v for k, v in inner.shapes.items() if k in ("cells", "draws", ENCODINGS)}

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._module.calls.append(len(feeds["cells"]))
        if len(feeds["cells"]) > self._module.most_cells:
            raise DeviceMemoryError("the GPU failed: no memory")
        encodings = self._inner.run(feeds)[ENCODINGS]
        if len(encodings) >= self._module.wrong_from:
            encodings = encodings * 1.5
        return {ENCODINGS: encodings}

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, *raised: object) -> None:
        self._inner.__exit__(*raised)


@dataclass
class EncodingsAlone:
    """The module of such an engine.

    wrong_from: calls of so many cells give encodings that are too long. most_cells: in a call.
    calls: the number of cells in each.
    """

    wrong_from: int = 1000
    most_cells: int = 128
    calls: list[int] = field(default_factory=list)
    ABILITIES = Abilities(
        packages=(),
        graphs={"cuda": {"fp32": "fp32", "fp16": "fp16", "int8": "int8-trt"}},
        call_sizes={"cuda": CallSize(rows=32, values=1 << 20)},
        whole=False,
    )

    def devices(self) -> tuple[Device, ...]:
        return ("cuda",)

    def start(self, graph: bytes, options: EngineOptions) -> Any:
        on_cpu = replace(options, engine="onnxruntime", device="cpu")
        return Alone(onnxruntime.start(graph, on_cpu), self)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[EncodingsAlone]:
    """In TensorRT's place for one test."""
    found, files = EncodingsAlone(), opening._file

    def file_of(engine: Any) -> EngineModule:
        return found if engine == "tensorrt" else files(engine)

    monkeypatch.setattr(opening, "_file", file_of)
    opening.packages_that_count.cache_clear()
    yield found
    opening.packages_that_count.cache_clear()


def scored(bundle: Path, case: Path, options: EngineOptions) -> CaseScore:
    opened = open_bundle(bundle)
    with read_case(case) as found, Sessions(opened, options, "fp32") as sessions:
        return score_case(found, opened, sessions)


def scores_of(result: CaseScore) -> dict[str, float | None]:
    return {model.model: model.score for model in result.models}


@pytest.mark.usefixtures("module")
def test_the_scores_are_those_of_a_whole_graph(tiny_bundle: Path, tiny_case: Path) -> None:
    alone = scored(tiny_bundle, tiny_case, TENSORRT)
    whole = scored(tiny_bundle, tiny_case, EngineOptions(engine="onnxruntime", threads=2))
    assert (there(alone.run).engine, there(alone.run).engine_version) == ("tensorrt", "RTX 0")
    assert scores_of(alone) == scores_of(whole)
    assert scores_of(alone)["neutrophil"] == pytest.approx(0.232, abs=0.001)


def test_each_opening_is_tested_whatever_was_prepared(
    module: EncodingsAlone, tiny_bundle: Path
) -> None:
    bundle = open_bundle(tiny_bundle)
    way = Measured(engine="tensorrt", device="cuda", precision="fp32", ms_per_cell=0.1)
    remember(bundle, [way])
    with Sessions(bundle, EngineOptions(threads=2)) as sessions:
        assert sessions.options.engine == "tensorrt"
        assert sessions.graph.proved
        sessions.fused("neutrophil")
    assert module.calls == [32]  # the self-test's cells, repeated to fill a call
    module.wrong_from = 5
    refused = pytest.raises(HostError, match="self-test of neutrophil fused.fp32.onnx failed")
    with Sessions(bundle, EngineOptions(threads=2)) as sessions, refused:
        sessions.fused("neutrophil")


@pytest.mark.parametrize("kind", ["fp16", "int8-trt"])
def test_a_cheaper_graphs_encodings_may_not_be_longer_either(
    module: EncodingsAlone, tiny_bundle: Path, tmp_path: Path, kind: str
) -> None:
    """Only the angle with the recorded encodings was tested."""
    bundle = open_bundle(with_graphs(tiny_bundle, tmp_path / "b.vxb", f"fused.{kind}.onnx"))
    precision = precision_of(f"fused.{kind}.onnx")
    with Sessions(bundle, TENSORRT, precision) as sessions:
        sessions.fused("neutrophil")
    module.wrong_from = 1
    refused = pytest.raises(HostError, match=f"self-test of neutrophil fused.{kind}.onnx failed")
    with Sessions(bundle, TENSORRT, precision) as sessions, refused:
        sessions.fused("neutrophil")


@pytest.mark.usefixtures("module")
def test_heads_that_were_swapped_are_found_without_a_whole_graph(
    tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    _, contents = bundle_content(tiny_bundle)
    heads = [f"models/{name}/{HEAD}" for name in ("neutrophil", "monocyte")]
    files = dict(zip(heads, [contents[head] for head in reversed(heads)], strict=True))
    bundle = rewritten(tiny_bundle, tmp_path / "swapped.vxb", files)
    with pytest.raises(HostError, match="head.onnx failed: its score differs from the whole"):
        scored(bundle, tiny_case, TENSORRT)


def test_calls_are_measured_up_to_what_the_gpu_has_memory_for(
    module: EncodingsAlone, tiny_bundle: Path
) -> None:
    module.most_cells = 16
    said: list[str] = []
    ways = prepare_bundle(open_bundle(tiny_bundle), said.append, threads=1, seconds=0.05)
    (way,) = (w for w in ways if (w.engine, w.precision) == ("tensorrt", "fp32"))
    assert way.problem is None
    assert way.cells_per_call in (8, 16)
    assert max(module.calls) == 32
    assert any("tensorrt on cuda in fp32: " in line for line in said)


def test_a_call_without_memory_is_halved_until_it_fits(
    module: EncodingsAlone, tiny_bundle: Path, tiny_case: Path
) -> None:
    whole = scored(tiny_bundle, tiny_case, TENSORRT)
    module.most_cells = 4
    module.calls.clear()
    halved = scored(tiny_bundle, tiny_case, TENSORRT)
    assert module.calls[:4] == [32, 16, 8, 4]  # by the self-test, until it fits
    assert scores_of(halved) == scores_of(whole)
    module.calls.clear()
    scored(tiny_bundle, tiny_case, TENSORRT)
    assert max(module.calls) <= 4  # remembered
