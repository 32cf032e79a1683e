"""The self-test that every bundle carries."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import bundle_content, rewritten

from calibration.additions import NewGraph, add_graphs
from vexas_edge.bundle.archive import open_bundle
from vexas_edge.bundle.contract import contract_of
from vexas_edge.bundle.graphs import FUSED
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import BundleError, HostError
from vexas_edge.runtime import selftest
from vexas_edge.runtime.choice import int8_file
from vexas_edge.runtime.selftest import golden_from_npz
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.verification import run_selftest

GOLDEN = "models/monocyte/golden.npz"


def with_golden(bundle: Path, to: Path, **changed: Callable[[np.ndarray], np.ndarray]) -> Path:
    """The bundle with some of the monocyte model's golden arrays changed."""
    golden = golden_from_npz(bundle_content(bundle)[1][GOLDEN])
    for name, change in changed.items():
        golden[name] = change(golden[name])
    stream = io.BytesIO()
    np.savez(stream, **golden)  # type: ignore[arg-type]
    return rewritten(bundle, to, {GOLDEN: stream.getvalue()})


def test_every_graph_of_a_bundle_agrees_where_it_was_made(tiny_bundle: Path) -> None:
    checks = list(run_selftest(open_bundle(tiny_bundle), EngineOptions(threads=2)))
    assert [(check.model, check.file) for check in checks] == [
        (model, file)
        for model in ("neutrophil", "monocyte", "lymphocyte")
        for file in ("fused.fp32.onnx", "head.onnx")
    ]
    assert all(check.difference <= 1e-6 for check in checks)
    assert {check.allowed for check in checks} == {1e-5, 1e-3}


@pytest.mark.parametrize(
    ("array", "by", "said"),
    [
        ("head.onnx/probabilities", 1e-4, "monocyte head.onnx failed on this PC: 1.0e-04 from"),
        ("fused.fp32.onnx/decisions", 0.1, "monocyte fused.fp32.onnx failed on this PC: 1.0e-01"),
        (
            "fused.fp32.onnx/probabilities",
            np.nan,
            "monocyte fused.fp32.onnx failed on this PC: nan",
        ),
    ],
)
def test_other_numbers_than_the_references_are_reported(
    tiny_bundle: Path, tmp_path: Path, array: str, by: float, said: str
) -> None:
    path = with_golden(tiny_bundle, tmp_path / "b.vxb", **{array: lambda values: values + by})
    with pytest.raises(HostError) as failed:
        list(run_selftest(open_bundle(path), EngineOptions()))
    assert said in str(failed.value)
    assert str(failed.value).endswith("do not use onnxruntime on cpu here")


def test_outputs_of_another_shape_are_reported_not_broadcast(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    path = with_golden(
        tiny_bundle, tmp_path / "b.vxb", **{"head.onnx/decisions": lambda values: values[:1]}
    )
    with pytest.raises(HostError, match=r"monocyte head\.onnx failed on this PC: inf from"):
        list(run_selftest(open_bundle(path), EngineOptions()))


def test_the_cheaper_graph_that_this_pc_would_run_is_checked_too(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    bundle = open_bundle(tiny_bundle)
    file = int8_file()
    graphs = [
        NewGraph(
            model=model,
            file=name,
            content=bundle.model_file(model, FUSED),
            measured={"gate": {}},
            tested=True,
        )
        for name in ("fused.int8.onnx", "fused.int8-rr.onnx")
        for model in bundle.manifest.models
    ]
    add_graphs(bundle, graphs, tmp_path / "more.vxb")
    checks = list(run_selftest(open_bundle(tmp_path / "more.vxb"), EngineOptions(device="cpu")))
    cheaper = [check for check in checks if check.file not in (FUSED, "head.onnx")]
    assert [check.model for check in cheaper] == list(bundle.manifest.models)
    assert {(check.file, check.allowed) for check in cheaper} == {(file, 1e-3)}
    saturated = with_golden(
        tmp_path / "more.vxb",
        tmp_path / "b.vxb",
        **{f"{file}/encodings": lambda a: np.roll(a, 1, 1)},
    )
    with pytest.raises(HostError, match=f"monocyte {file} failed on this PC: "):
        list(run_selftest(open_bundle(saturated), EngineOptions(device="cpu")))


class NotANumber:
    """An engine whose last output is not finite."""

    name, device = "tensorrt", "cuda"

    def __init__(self, golden: dict[str, Any]) -> None:
        self.golden = golden

    def run(self, _: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = ("encodings", "decisions", "probabilities")
        outputs = {name: self.golden[f"fused.fp32.onnx/{name}"].copy() for name in names}
        outputs["probabilities"][0, 0] = np.nan
        return outputs


def test_an_engine_that_failed_is_not_kept_for_the_next_case(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    changed = with_golden(
        tiny_bundle, tmp_path / "b.vxb", **{f"{FUSED}/decisions": lambda values: values + 0.1}
    )
    options = EngineOptions(engine="openvino", device="cpu", threads=1)
    with Sessions(open_bundle(changed), options, "fp32") as sessions:
        for _ in range(2):
            with pytest.raises(HostError, match=f"monocyte {FUSED} failed on this PC"):
                sessions.fused("monocyte")
        assert sessions.used() is None


def test_a_nan_is_not_passed_over(tiny_bundle: Path) -> None:
    golden = golden_from_npz(bundle_content(tiny_bundle)[1][GOLDEN])
    contract = contract_of(open_bundle(tiny_bundle).manifest.models["monocyte"], FUSED)
    engine: Any = NotANumber(golden)
    with pytest.raises(HostError, match=r"nan from the reference .* do not use tensorrt on cuda"):
        selftest.check_engine("monocyte", FUSED, engine, contract, golden)


def test_golden_cells_are_made_up_and_cover_an_empty_canvas_and_noise(tiny_bundle: Path) -> None:
    cells = golden_from_npz(bundle_content(tiny_bundle)[1][GOLDEN])["cells"]
    assert cells.shape == (4, 16, 16, 3)
    assert cells[2].max() == 0
    assert cells[3].std() > 60


class Trap:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize("kind", ["array", "file", "cut"])
def test_golden_arrays_are_never_unpickled(tiny_bundle: Path, kind: str) -> None:
    stream = io.BytesIO()
    np.savez(stream, cells=np.array([Trap()], object))
    damaged = {
        "array": stream.getvalue(),
        "file": pickle.dumps(Trap()),
        "cut": bundle_content(tiny_bundle)[1][GOLDEN][:-30],
    }
    with pytest.raises(BundleError, match=r"golden\.npz cannot be read"):
        golden_from_npz(damaged[kind])


def test_golden_arrays_that_are_missing_are_named() -> None:
    stream = io.BytesIO()
    np.savez(stream, cells=np.zeros(1), draws=np.zeros(1))
    with pytest.raises(BundleError, match="lacks fused.fp32.onnx/encodings"):
        golden_from_npz(stream.getvalue())
