"""Encodings and their metadata: read back as written, refused where they make no sense."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.encodings.table import Encodings, read_encodings, write_encodings
from vexas_edge.errors import InputError


def encodings(n: int = 6) -> Encodings:
    raw = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    return Encodings(
        encodings=raw / np.linalg.norm(raw, axis=1, keepdims=True),
        groups=("VEXAS",) * 3 + ("MDS",) * (n - 3),
        patients=("P1",) * 3 + ("P2",) * (n - 3),
        samples=("S1",) * 3 + ("S2",) * (n - 3),
        cells=tuple(f"SNE_{row}.png" for row in range(n)),
        identities=tuple(bytes([row]) * 32 for row in range(n)),
    )


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    written = encodings()
    write_encodings(written, tmp_path)
    read = read_encodings(tmp_path / "encodings.npz", tmp_path / "metadata.csv")
    assert read.encodings == pytest.approx(written.encodings, abs=1e-7)
    for name in ("groups", "patients", "samples", "cells", "identities"):
        assert getattr(read, name) == getattr(written, name)


def test_the_authors_files_are_read_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.array([[3.0, 4], [0, 2], [0, 0]]))
    (tmp_path / "m.csv").write_text("GROUP\nLS-HG\nLS-HG\nNS-HG\n")
    found = read_encodings(tmp_path / "e.npy", tmp_path / "m.csv")
    assert found.encodings.dtype == np.float32
    assert found.encodings == pytest.approx(np.array([[0.6, 0.8], [0, 1], [0, 0]]))
    assert found.groups == ("LS-HG", "LS-HG", "NS-HG")
    assert found.patients == found.samples == ("", "", "")
    assert len(set(found.identities)) == 3


def _nan(array: np.ndarray, text: str) -> tuple[np.ndarray, str]:
    array[4, 1] = np.nan
    return array, text


def _two_patients(array: np.ndarray, text: str) -> tuple[np.ndarray, str]:
    return array, text.replace("P2,S2", "P2,S1", 1)


def _no_group(array: np.ndarray, text: str) -> tuple[np.ndarray, str]:
    return array, text.replace("GROUP", "KIND")


def _short(array: np.ndarray, text: str) -> tuple[np.ndarray, str]:
    return array[:5], text


def _flat(array: np.ndarray, text: str) -> tuple[np.ndarray, str]:
    return array.ravel(), text


def _no_hash(array: np.ndarray, text: str) -> tuple[np.ndarray, str]:
    return array, text.replace("0505", "zz05", 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_nan, r"1 encodings are not finite \(rows 4 from 0\)"),
        (_two_patients, "the cells of sample 'S1' belong to two patients, 'P1' and 'P2'"),
        (_no_group, "no column GROUP"),
        (_short, "has 6 rows, .* has 5 encodings"),
        (_flat, r"of shape \(24,\); expected floats \(N, D\)"),
        (_no_hash, "IDENTITY holds an invalid hash"),
    ],
)
def test_files_that_make_no_sense_are_refused(
    tmp_path: Path,
    change: Callable[[np.ndarray, str], tuple[np.ndarray, str]],
    said: str,
) -> None:
    write_encodings(encodings(), tmp_path)
    with np.load(tmp_path / "encodings.npz") as arrays:
        array = arrays["encodings"].copy()
    array, text = change(array, (tmp_path / "metadata.csv").read_text())
    np.savez(tmp_path / "encodings.npz", encodings=array)
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_encodings(tmp_path / "encodings.npz", tmp_path / "metadata.csv")


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.array([{"a": 1}], object), allow_pickle=True)
    (tmp_path / "m.csv").write_text("GROUP\nA\n")
    with pytest.raises(InputError, match=r"is neither an \.npy"):
        read_encodings(tmp_path / "e.npy", tmp_path / "m.csv")
