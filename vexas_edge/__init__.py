"""Score the white cells of a blood smear with a VEXAS bundle, on the PC beside the analyzer."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vexas_edge.version import __version__ as __version__

if TYPE_CHECKING:
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.cells.vectors.cases import read_table
    from vexas_edge.scoring.score import score_case
    from vexas_edge.smear.reader import read_case

__all__ = ["open_bundle", "read_case", "read_table", "score_case"]

_HOMES = {
    "open_bundle": "bundle.archive",
    "read_case": "smear.reader",
    "read_table": "cells.vectors.cases",
    "score_case": "scoring.score",
}


def __getattr__(name: str) -> Any:
    """Load a public function on first use, so that `--help` needs neither numpy nor onnxruntime."""
    if name in _HOMES:
        return getattr(import_module(f"vexas_edge.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vexas_edge' has no attribute {name!r}")
