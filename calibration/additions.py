"""Adds files to a bundle: the new bundle replaces the old one once it is complete and verified."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from onnx import ModelProto

from calibration.proof.exact import exact_session
from export.bundle_file import check_written, write_zip
from export.card import card_from_manifest
from export.execution import run_session
from export.fuse import encoder_sha256
from export.golden import npz_from_arrays
from export.graph import OPSET
from vexas_edge.bundle.archive import Bundle, file_entry
from vexas_edge.bundle.contract import GraphContract, contract_of
from vexas_edge.bundle.graphs import FUSED, GOLDEN
from vexas_edge.bundle.manifest import CARD, Manifest
from vexas_edge.bundle.models import FileEntry
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


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """A file to be added to a model, or to take the place of the one of this name.

    file: its name below the model's folder.
    entry: the manifest's.
    """

    model: str
    file: str
    content: bytes
    entry: FileEntry


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
    new = [
        NewFile(
            model=graph.model,
            file=graph.file,
            content=graph.content,
            entry=file_entry(
                graph.content,
                OPSET,
                graph.measured,
                tested=graph.tested,
                encoder=encoder_sha256(ModelProto.FromString(graph.content)),
            ),
        )
        for graph in graphs
    ]
    for name in {graph.model for graph in graphs}:
        own = {graph.file: graph.content for graph in graphs if graph.model == name}
        contract = contract_of(bundle.manifest.networks[name], FUSED)
        golden = _golden_with(bundle.model_file(name, GOLDEN), own, contract)
        new.append(NewFile(model=name, file=GOLDEN, content=golden, entry=file_entry(golden)))
    return write_with_files(bundle, new, to)


def write_with_files(bundle: Bundle, new: Sequence[NewFile], to: Path) -> Manifest:
    """Write the bundle with these files, new or in the place of others; returns its manifest.

    Its card is written anew.

    Raises:
        HostError: it cannot be written, or did not read back as it was written; a file that was
            there is unchanged.
    """
    content, models = bundle.content(), dict(bundle.manifest.models)
    typing = dict(bundle.manifest.typing)
    for one in new:
        content[f"models/{one.model}/{one.file}"] = one.content
        files = {**bundle.manifest.networks[one.model].files, **_files(new, one.model)}
        if one.model in models:
            models[one.model] = msgspec.structs.replace(models[one.model], files=files)
        else:
            typing[one.model] = msgspec.structs.replace(typing[one.model], files=files)
    manifest = msgspec.structs.replace(bundle.manifest, models=models, typing=typing)
    content[CARD] = card_from_manifest(manifest).encode()
    manifest = msgspec.structs.replace(manifest, files={CARD: file_entry(content[CARD])})
    write_zip(manifest, content, to, check_written)
    return manifest


def _files(new: Sequence[NewFile], model: str) -> dict[str, FileEntry]:
    """The manifest's entries of the files that are new to a model."""
    return {one.file: one.entry for one in new if one.model == model}


def _golden_with(golden: bytes, graphs: Mapping[str, bytes], contract: GraphContract) -> bytes:
    """golden.npz with the outputs of these graphs for its cells, from onnxruntime's CPU."""
    arrays = golden_from_npz(golden)
    feeds = golden_feeds(contract, arrays)
    for file, graph in graphs.items():
        outputs = run_session(exact_session(graph), feeds)
        arrays |= {f"{file}/{name}": value for name, value in outputs.items()}
    return npz_from_arrays(arrays)
