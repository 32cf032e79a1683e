"""The worked examples in docstrings are true."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import vexas_edge
from vexas_edge import open_bundle, read_case

PACKAGE = Path(vexas_edge.__file__).parent
# What a user calls from Python; each of these modules has an example.
MODULES = (
    "vexas_edge.bundle.archive",
    "vexas_edge.bundle.graphs",
    "vexas_edge.results.names",
    "vexas_edge.scoring.abstention",
    "vexas_edge.scoring.draws",
    "vexas_edge.scoring.labels",
    "vexas_edge.scoring.score",
    "vexas_edge.smear.layout",
    "vexas_edge.smear.options",
    "vexas_edge.smear.reader",
    "vexas_edge.text",
)
# The examples speak of the demonstration's folder, and call the library's face.
KNOWN = {"demo": PACKAGE / "demo", "open_bundle": open_bundle, "read_case": read_case}


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    found = doctest.testmod(import_module(name), extraglobs=KNOWN)
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
