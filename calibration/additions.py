"""Adds graphs to a bundle: the new file replaces the old one once it is complete and verified."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from calibration.proof.exact import exact_session
from export.execution import run_session
from export.golden import npz_from_arrays
from export.graph import OPSET
from export.written import check_written
from vexas_edge.bundle.archive import Bundle, file_entry, write_zip
from vexas_edge.bundle.contract import GraphContract, contract_of
from vexas_edge.bundle.graphs import FUSED, GOLDEN
from vexas_edge.bundle.manifest import Manifest
from vexas_edge.errors import HostError, UsageError
from vexas_edge.runtime.selftest import golden_feeds, golden_from_npz


@dataclass(frozen=True, kw_only=True)
class NewGraph:
    """A graph to be added.

    file: its name below the model's folder.
    measured: its figures, for the manifest.
    tested: whether it passed a gate.
    """

    model: str
    file: str
    content: bytes
    measured: dict[str, Any]
    tested: bool


def check_target(bundle: Bundle, to: Path | None) -> Path:
    """Where the new bundle will be written, checked before the long work and not after it.

    Raises:
        UsageError: the bundle is a folder, which cannot be replaced at once.
        HostError: the file cannot be written there.
    """
    if to is None and bundle.path.is_dir():
        raise UsageError(
            f"{bundle.path} is a folder, which cannot be replaced all at once; "
            "name a new bundle with -o NAME.vxb"
        )
    to = to or bundle.path
    if to.is_dir():
        raise HostError(f"{to} is a folder; name a file with -o NAME.vxb")
    if not os.access(to.absolute().parent, os.W_OK):
        raise HostError(
            f"bundle {to} cannot be written: its folder does not exist or is write-protected"
        )
    return to


def add_graphs(bundle: Bundle, graphs: list[NewGraph], to: Path) -> Manifest:
    """Write the bundle with these graphs, their figures and self-tests; returns its manifest.

    Raises:
        HostError: it cannot be written, or did not read back as it was written; a file that was
            there is unchanged.
    """
    content = bundle.content()
    models = dict(bundle.manifest.models)
    for graph in graphs:
        content[f"models/{graph.model}/{graph.file}"] = graph.content
        files = dict(models[graph.model].files)
        files[graph.file] = file_entry(graph.content, OPSET, graph.measured, tested=graph.tested)
        models[graph.model] = msgspec.structs.replace(models[graph.model], files=files)
    for name in {graph.model for graph in graphs}:
        own = {graph.file: graph.content for graph in graphs if graph.model == name}
        path = f"models/{name}/{GOLDEN}"
        contract = contract_of(bundle.manifest, name, FUSED)
        content[path] = _golden_with(content[path], own, contract)
        files = {**models[name].files, GOLDEN: file_entry(content[path])}
        models[name] = msgspec.structs.replace(models[name], files=files)
    manifest = msgspec.structs.replace(bundle.manifest, models=models)
    write_zip(manifest, content, to, check_written)
    return manifest


def _golden_with(golden: bytes, graphs: Mapping[str, bytes], contract: GraphContract) -> bytes:
    """golden.npz with the outputs of these graphs for its cells, from onnxruntime's CPU."""
    arrays = golden_from_npz(golden)
    feeds = golden_feeds(contract, arrays)
    for file, graph in graphs.items():
        outputs = run_session(exact_session(graph), feeds)
        arrays |= {f"{file}/{name}": value for name, value in outputs.items()}
    return npz_from_arrays(arrays)
