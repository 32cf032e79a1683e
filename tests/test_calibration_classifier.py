"""A bare ONNX classifier of real leukocytes goes through the same code."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from cpu_kinds import needs_vnni

from calibration.integers.grids import Scheme
from calibration.integers.recipe import Calibration, calibrate, round_model
from calibration.proof.census import executed_census
from calibration.proof.exact import exact_session
from calibration.region import classifier_region
from export.execution import run_session
from export.graph import standard_model

CALIBRATED, ALL = 40, 160
BATCH = 8


@pytest.fixture(scope="module")
def cells(shared_data: Path) -> np.ndarray:
    """160 leukocytes as the network wants them: float32 (160, 80, 80, 3), BGR in [0, 1]."""
    stored = np.load(shared_data / "wbc_cnn" / "test160_80x80.npz")["X_bgr_u8"]
    return stored.astype(np.float32) / 255


@pytest.fixture(scope="module")
def classifier(shared_data: Path) -> onnx.ModelProto:
    (path,) = (shared_data / "wbc_cnn").glob("*.onnx")
    return standard_model(onnx.load(path), path.name)


@pytest.fixture(scope="module")
def found(classifier: onnx.ModelProto, cells: np.ndarray) -> Calibration:
    """Calibrated on every fourth cell, so on all classes."""
    seen = cells[:: ALL // CALIBRATED]
    assert len(seen) == CALIBRATED

    def batches() -> Iterator[np.ndarray]:
        yield from (seen[i : i + BATCH] for i in range(0, CALIBRATED, BATCH))

    return calibrate(classifier, batches, region_of=classifier_region)


def classes(model: onnx.ModelProto, cells: np.ndarray) -> np.ndarray:
    outputs = run_session(exact_session(model), {model.graph.input[0].name: cells})
    probabilities = next(iter(outputs.values()))
    return probabilities.argmax(axis=1)


@pytest.mark.real_data
@pytest.mark.parametrize(
    "scheme",
    [pytest.param(Scheme(), marks=needs_vnni), Scheme(weight_bits=7), Scheme(signed=True)],
)
def test_at_most_one_of_120_unseen_leukocytes_changes_class(
    classifier: onnx.ModelProto, found: Calibration, cells: np.ndarray, scheme: Scheme
) -> None:
    unseen = np.delete(cells, np.arange(0, ALL, ALL // CALIBRATED), axis=0)
    assert len(unseen) == ALL - CALIBRATED
    graph = round_model(found, scheme).graph()
    changed = classes(graph, unseen) != classes(classifier, unseen)
    assert changed.sum() <= 1
    if not scheme.signed:
        census = executed_census(graph, {graph.graph.input[0].name: unseen[:1]})
        assert (census.int8, census.float_layers) == (1, ())
