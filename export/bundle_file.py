"""Writes a bundle, and examines it before it takes the place of an older one."""

import hashlib
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
from onnx import ValueInfoProto

from vexas_edge.bundle.archive import MANIFEST, Bundle, listed_files, open_bundle
from vexas_edge.bundle.contract import Shape, contract_of
from vexas_edge.bundle.manifest import Manifest, check_consistency, json_from_manifest
from vexas_edge.errors import BundleError, HostError
from vexas_edge.files import remove_partials, replacing

# Every zip entry has this date, so that the same content gives the same bytes.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def write_zip(
    manifest: Manifest,
    files: Mapping[str, bytes],
    to: Path,
    check: Callable[[Bundle], None] = Bundle.check_all_files,
) -> None:
    """Write the bundle as one zip; the same content gives the same bytes.

    It is written beside `to`, read back from there, and takes its name only then. Until that moment
    a bundle that was there before stays as it was, whatever happens.

    Args:
        files: content of every file but the manifest, by its path in the bundle.
        check: examines the new bundle; raises BundleError if it is not right.

    Raises:
        BundleError: the manifest contradicts itself, or the files are not those that it lists.
        HostError: it cannot be written, or did not read back as it was written.
    """
    try:
        check_consistency(manifest)
    except BundleError as error:
        raise BundleError(f"{to} was not written: {error}") from error
    text = json_from_manifest(manifest)
    if strange := sorted(files.keys() ^ listed_files(manifest).keys()):
        raise BundleError(
            f"{to} was not written: the files given are not those that the manifest lists "
            f"({', '.join(strange[:5])})"
        )
    if to.is_dir():
        raise HostError(f"{to} is a folder; a bundle is written to a file")
    remove_partials(to.parent, to.name.__eq__)
    with replacing(to) as partial:
        _pack({MANIFEST: text, **files}, partial)
        _check_written(partial, to, text, check)


def _check_written(
    partial: Path, to: Path, manifest: bytes, check: Callable[[Bundle], None]
) -> None:
    """Check the new bundle, which is to be called `to`."""
    try:
        written = open_bundle(partial)
        check(written)
    except BundleError as error:
        raise HostError(
            f"bundle {to} is as it was: the new one did not read back as it was written "
            f"({error}); is the disk full or failing?"
        ) from error
    if written.sha256 != hashlib.sha256(manifest).hexdigest():
        raise HostError(
            f"bundle {to} is as it was: another program changed the new one while it was written; "
            "try again"
        )


def _pack(files: Mapping[str, bytes], to: Path) -> None:
    """Write a zip and wait until the disk has it."""
    with to.open("wb") as stream:
        # Not compressed: weights hardly get smaller, and unpacking them would slow every start.
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for name, content in files.items():
                entry = zipfile.ZipInfo(name, _ZIP_DATE)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, content)
        stream.flush()
        os.fsync(stream.fileno())


def check_written(bundle: Bundle) -> None:
    """Check that every file reads back as the manifest says, and every graph as its contract says.

    Raises:
        BundleError: something does not.
    """
    bundle.check_all_files()
    for name, model in bundle.manifest.networks.items():
        for file in model.files:
            if file.endswith(".onnx"):
                graph = onnx.load_model_from_string(bundle.model_file(name, file)).graph
                shapes = {value.name: _shape(value) for value in (*graph.input, *graph.output)}
                if wanted := contract_of(model, file).missing_from(shapes):
                    raise BundleError(
                        f"models/{name}/{file} should have {wanted.name} {wanted.shape}, but has "
                        f"{shapes.get(wanted.name, 'none')}"
                    )


def _shape(value: ValueInfoProto) -> Shape:
    dims = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)
