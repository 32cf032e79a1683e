"""The worked examples in docstrings are true."""

import doctest
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC

import vexas_edge
from vexas_edge import open_bundle, read_case

PACKAGE = Path(vexas_edge.__file__).parent
# What a user calls from Python; each of these modules has an example.
MODULES = (
    "vexas_edge.bundle.archive",
    "vexas_edge.covariates.covariate",
    "vexas_edge.bundle.graphs",
    "vexas_edge.covariates.taken",
    "vexas_edge.scoring.figures.bag_interval",
    "vexas_edge.cells.background",
    "vexas_edge.cells.images",
    "vexas_edge.cells.likeness",
    "vexas_edge.cells.vectors.matching",
    "vexas_edge.cells.vectors.reading",
    "vexas_edge.domain.performance",
    "vexas_edge.domain.words",
    "vexas_edge.ledger.smears",
    "vexas_edge.naming.pattern",
    "vexas_edge.naming.worklist",
    "vexas_edge.quality.counting",
    "vexas_edge.results.names",
    "vexas_edge.results.spreadsheet",
    "vexas_edge.scoring.abstention",
    "vexas_edge.scoring.draws",
    "vexas_edge.scoring.figures.interval",
    "vexas_edge.scoring.figures.labels",
    "vexas_edge.scoring.score",
    "vexas_edge.smear.layout",
    "vexas_edge.smear.options",
    "vexas_edge.smear.reader",
    "vexas_edge.smear.system_folders",
    "vexas_edge.text",
    "vexas_edge.typing.differential",
    "vexas_edge.typing.rule",
    "vexas_edge.workshop",
)


def trained_encoder() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=4), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    ).eval()


def fitted_classifier() -> CalibratedClassifierCV:
    features = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    return CalibratedClassifierCV(SVC(), method="sigmoid").fit(features, ["MDS", "VEXAS"] * 20)


# The examples speak of the demonstration's folder, of what a user has trained, and of the face.
KNOWN = {
    "demo": PACKAGE / "demo",
    **{f.__name__: f for f in (open_bundle, read_case, trained_encoder, fitted_classifier)},
}


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str, tmp_path: Path) -> None:
    found = doctest.testmod(import_module(name), extraglobs={**KNOWN, "folder": tmp_path})
    assert found.attempted > 0
    assert found.failed == 0


def test_every_module_with_an_example_is_tested() -> None:
    with_example = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if "\n    >>> " in path.read_text(encoding="utf-8")
        or "\n>>> " in path.read_text(encoding="utf-8")
    }
    assert with_example == set(MODULES)
