"""Reads and writes encodings with their patients: `encodings.npz` beside `metadata.csv`.

It also reads the files that the VEXAS authors publish: `.npy` arrays beside a CSV with the columns
PATIENT, SAMPLE and GROUP, or some of them. Ours have these columns, and each cell's file and
identity.
"""

import csv
import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vexas_edge.errors import InputError
from vexas_edge.files import write_atomically

COLUMNS = ("PATIENT", "SAMPLE", "GROUP", "CELL", "IDENTITY")


@dataclass(frozen=True, kw_only=True)
class Encodings:
    """Encoded cells, with one row of `encodings` and one entry of each other field per cell.

    encodings: float32 (N, D), L2-normalised.
    groups: the labels of the cells or of their patients.
    patients, samples: empty texts if the metadata lacks them.
    cells: names of their files, or empty texts.
    identities: of the cells, 32 bytes; the SHA-256 of their encodings if the metadata lacks them.
    """

    encodings: np.ndarray
    groups: tuple[str, ...]
    patients: tuple[str, ...]
    samples: tuple[str, ...]
    cells: tuple[str, ...]
    identities: tuple[bytes, ...]


def read_encodings(array: Path, metadata: Path) -> Encodings:
    """The encodings in an .npz (its array `encodings`) or .npy file, and the CSV of their rows.

    They are L2-normalised here, since those in the authors' files are not.

    Raises:
        InputError: a file cannot be read; the array is not (N, D) with one CSV row each; a number
            is not finite; the CSV has no GROUP; or the cells of a sample have two patients.
    """
    encodings = _array(array)
    rows = _rows(metadata)
    if len(rows["GROUP"]) != len(encodings):
        raise InputError(
            f"{metadata} has {len(rows['GROUP'])} rows, {array} has {len(encodings)} encodings"
        )
    bad = np.flatnonzero(~np.isfinite(encodings).all(axis=1))
    if len(bad):
        shown = ", ".join(map(str, bad[:5]))
        raise InputError(f"{array}: {len(bad)} encodings are not finite (rows {shown} from 0)")
    _check_samples(rows["SAMPLE"], rows["PATIENT"], metadata)
    return Encodings(
        encodings=encodings / np.maximum(np.linalg.norm(encodings, axis=1, keepdims=True), 1e-12),
        groups=rows["GROUP"],
        patients=rows["PATIENT"],
        samples=rows["SAMPLE"],
        cells=rows["CELL"],
        identities=_identities(rows["IDENTITY"], encodings, metadata),
    )


def write_encodings(found: Encodings, folder: Path) -> None:
    """Write `encodings.npz` and `metadata.csv` to the folder, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.csv").unlink(missing_ok=True)  # it must never belong to other encodings
    content = io.BytesIO()
    np.savez(content, encodings=found.encodings)
    write_atomically(folder / "encodings.npz", content.getvalue())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    hashes = [identity.hex() for identity in found.identities]
    columns = (found.patients, found.samples, found.groups, found.cells, hashes)
    writer.writerows(zip(*columns, strict=True))
    write_atomically(folder / "metadata.csv", text.getvalue().encode())


def _array(path: Path) -> np.ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)
        array = loaded if isinstance(loaded, np.ndarray) else loaded["encodings"]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(  # without numpy's own words, which advise to load it all the same
            f"{path} is neither an .npy file nor an .npz file with `encodings`"
        ) from error
    if array.ndim != 2 or not len(array) or array.dtype.kind != "f":
        raise InputError(
            f"{path} holds {array.dtype} of shape {array.shape}; expected floats (N, D)"
        )
    return array.astype(np.float32)


def _rows(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows = list(reader)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not CSV in UTF-8: {error}") from error
    if "GROUP" not in (reader.fieldnames or ()):
        raise InputError(f"{path} has no column GROUP; it has {', '.join(reader.fieldnames or ())}")
    return {column: tuple((row.get(column) or "").strip() for row in rows) for column in COLUMNS}


def _check_samples(samples: Sequence[str], patients: Sequence[str], path: Path) -> None:
    owner: dict[str, str] = {}
    for sample, patient in zip(samples, patients, strict=True):
        if sample and owner.setdefault(sample, patient) != patient:
            raise InputError(
                f"{path}: the cells of sample {sample!r} belong to two patients, "
                f"{owner[sample]!r} and {patient!r}"
            )


def _identities(hashes: Sequence[str], encodings: np.ndarray, path: Path) -> tuple[bytes, ...]:
    if not all(hashes):
        return tuple(hashlib.sha256(row.tobytes()).digest() for row in encodings)
    try:
        return tuple(map(bytes.fromhex, hashes))
    except ValueError as error:
        raise InputError(f"{path}: its column IDENTITY holds an invalid hash: {error}") from error
