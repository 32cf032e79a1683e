"""Tables of cells as rows of numbers: read from every form, matched by name, or refused."""

import gzip
import itertools
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas
import pytest
from scipy.sparse import csc_matrix, csr_matrix

from vexas_edge.cells.vectors import annotated, arrays, matrix_market, text_tables
from vexas_edge.cells.vectors.matching import (
    WantedFeatures,
    checked_blocks,
    matched_features,
    plain_name,
)
from vexas_edge.cells.vectors.reading import feature_table
from vexas_edge.cells.vectors.table import FeatureNames
from vexas_edge.errors import HostError, InputError

GENES = tuple(f"GENE{i}" for i in range(12))
CELLS = tuple(f"AAAC{i}-1" for i in range(7))
WANTED = WantedFeatures(names=GENES[2:9], kind="symbol", are_counts=True)


def counts(n: int = len(CELLS)) -> np.ndarray:
    """Many zeros, one cell without any count, one with all."""
    found = np.random.default_rng(0).poisson(0.7, (n, len(GENES)))
    found[2], found[4] = 0, 3
    return found


def write_csv(folder: Path, rows: np.ndarray, delimiter: str = ",", corner: str = "cell") -> Path:
    lines = [delimiter.join([*([corner] if corner else []), *GENES])]
    lines += [delimiter.join([name, *map(str, row)]) for name, row in zip(CELLS, rows, strict=True)]
    path = folder / ("cells.csv" if delimiter == "," else "cells.tsv")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_gz(folder: Path, rows: np.ndarray) -> Path:
    path = write_csv(folder, rows, "\t")
    with gzip.open(folder / "packed.tsv.gz", "wb") as packed:
        packed.write(path.read_bytes())
    return folder / "packed.tsv.gz"


def write_matrix(folder: Path, rows: np.ndarray) -> Path:
    """As Cell Ranger writes it, with antibodies among the features."""
    inside = folder / "matrix"
    inside.mkdir(exist_ok=True)
    features = [f"ENSG{i:011}.3\t{name}\tGene Expression" for i, name in enumerate(GENES)]
    features.insert(3, "CD3\tCD3\tAntibody Capture")
    (inside / "features.tsv").write_text("\n".join(features) + "\n")
    (inside / "barcodes.tsv").write_text("\n".join(CELLS) + "\n")
    entries = []
    for cell, row in enumerate(rows):
        for gene, count in enumerate(row):
            if count:
                entries.append(f"{gene + 1 + (gene >= 3)} {cell + 1} {count}")
        entries.append(f"4 {cell + 1} 99")
    head = "%%MatrixMarket matrix coordinate integer general\n%a remark\n"
    size = f"{len(features)} {len(rows)} {len(entries)}\n"
    (inside / "matrix.mtx").write_text(head + size + "\n".join(entries) + "\n")
    return inside


def write_npz(folder: Path, rows: np.ndarray) -> Path:
    np.savez(folder / "cells.npz", counts=rows, genes=np.array(GENES), cells=np.array(CELLS))
    return folder / "cells.npz"


def write_h5ad(folder: Path, rows: np.ndarray) -> Path:
    """With sparse numbers."""
    made = anndata.AnnData(
        X=csr_matrix(rows.astype(np.float32)),
        obs=pandas.DataFrame(index=list(CELLS)),
        var=pandas.DataFrame(
            {"gene_symbols": GENES}, index=[f"ENSG{i:011}" for i in range(len(GENES))]
        ),
    )
    made.write_h5ad(folder / "cells.h5ad")
    return folder / "cells.h5ad"


def read(path: Path, wanted: WantedFeatures = WANTED) -> tuple[list[str], np.ndarray]:
    """The names of all cells, and what the model takes of them, float32 (N, G)."""
    table = feature_table(path)
    matched = matched_features(wanted, table.features)
    blocks = list(checked_blocks(table, wanted))
    dense = [block.rows.dense(matched.places, len(wanted.names)) for block in blocks]
    return [name for block in blocks for name in block.names], np.concatenate(dense)


@pytest.mark.parametrize("write", [write_csv, write_gz, write_matrix, write_npz, write_h5ad])
@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_every_form_gives_the_same_numbers_however_much_is_read_at_once(
    write: Callable[[Path, np.ndarray], Path],
    at_once: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matrix_market, "_LINES_PER_READING", at_once)
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", at_once * len(GENES) * 8)
    for module in (text_tables, annotated):
        monkeypatch.setattr(module, "_ROWS_PER_BLOCK", at_once)
    names, found = read(write(tmp_path, counts()))
    assert tuple(names) == CELLS
    assert found.dtype == np.float32
    assert np.array_equal(found, counts()[:, 2:9])


def test_features_in_any_order_and_columns_that_nobody_wants_do_not_matter(tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(len(GENES))
    np.savez(tmp_path / "x.npz", X=counts()[:, order], features=np.array(GENES)[order])
    names, found = read(tmp_path / "x.npz")
    assert names == [str(i) for i in range(7)]
    assert np.array_equal(found, counts()[:, 2:9])


def test_ids_are_matched_whatever_their_version_and_beside_symbols(tmp_path: Path) -> None:
    wanted = WantedFeatures(
        names=tuple(f"ENSG{i:011}.17" for i in range(2, 9)), kind="ensembl", are_counts=True
    )
    _, found = read(write_matrix(tmp_path, counts()), wanted)
    assert np.array_equal(found, counts()[:, 2:9])
    assert plain_name("ENSMUSG00000051951.5") == "ENSMUSG00000051951"
    assert plain_name("ENSG00000182378.10_PAR_Y") == "ENSG00000182378.10_PAR_Y"


def test_a_header_as_r_writes_it_and_a_mark_before_it_are_understood(tmp_path: Path) -> None:
    path = write_csv(tmp_path, counts(), corner="")
    path.write_text("\ufeff" + path.read_text() + "\n\n", encoding="utf-8")
    assert np.array_equal(read(path)[1], counts()[:, 2:9])


def test_what_is_missing_is_told_and_left_at_nought(tmp_path: Path) -> None:
    table = feature_table(write_csv(tmp_path, counts()))
    wanted = WantedFeatures(names=("NONE", *GENES[:2]), kind="symbol", are_counts=True)
    matched = matched_features(wanted, table.features)
    assert matched.missing == ("NONE",)
    (block,) = checked_blocks(table, wanted)
    dense = block.rows.dense(matched.places, 3)
    assert (dense[:, 0] == 0).all()
    assert np.array_equal(dense[:, 1:], counts()[:, :2])


def test_hints_say_why_much_is_missing() -> None:
    wanted = WantedFeatures(names=("ACTB", "GAPDH", "CD3D"), kind="symbol", are_counts=True)
    mouse = matched_features(wanted, FeatureNames(names=("Actb", "Gapdh", "Cd3d")))
    assert len(mouse.missing) == 3
    assert "another species" in mouse.hint
    ids = matched_features(wanted, FeatureNames(names=tuple(f"ENSG{i:011}" for i in range(5))))
    assert "Ensembl ids, and the model takes symbols" in ids.hint
    others = WantedFeatures(names=("ENSG00000000001",), kind="ensembl", are_counts=True)
    assert "no Ensembl ids" in matched_features(others, FeatureNames(names=("ACTB",))).hint
    assert matched_features(wanted, FeatureNames(names=("A", "B"))).hint == ""


def test_a_table_on_its_side_is_refused(tmp_path: Path) -> None:
    lines = [",".join(["gene", *CELLS])]
    lines += [",".join([g, *map(str, row)]) for g, row in zip(GENES, counts().T, strict=True)]
    (tmp_path / "side.csv").write_text("\n".join(lines))
    table = feature_table(tmp_path / "side.csv")
    first = next(iter(table.blocks()))
    with pytest.raises(InputError, match="lies on its side: its rows are called like features"):
        matched_features(WANTED, table.features, first.names)
    upright = feature_table(write_csv(tmp_path, counts()))
    matched_features(WANTED, upright.features, CELLS)


def test_a_feature_that_is_there_twice_is_refused_only_if_the_model_takes_it() -> None:
    twice = FeatureNames(names=(*GENES, "GENE3"))
    with pytest.raises(InputError, match="1 features twice that the model takes: GENE3"):
        matched_features(WANTED, twice)
    assert matched_features(WANTED, FeatureNames(names=(*GENES, "GENE0"))).missing == ()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nan", "GENE5 of AAAC1-1: nan is no finite number"),
        ("inf", "is no finite number"),
        ("-2", "GENE5 of AAAC1-1: -2 is no count"),
        ("0.693", "0.693 is no count; the model takes counts as they were counted"),
        ("three", "line 3, GENE5: 'three' is no number"),
        ("", "line 3, GENE5: '' is no number"),
    ],
)
def test_what_can_be_no_count_is_refused_with_its_place(
    value: str, said: str, tmp_path: Path
) -> None:
    path = write_csv(tmp_path, counts())
    lines = path.read_text().splitlines()
    cells = lines[2].split(",")
    cells[6] = value
    lines[2] = ",".join(cells)
    path.write_text("\n".join(lines))
    with pytest.raises(InputError) as refused:
        read(path)
    assert said in str(refused.value)


def test_a_model_that_takes_scaled_numbers_takes_negative_ones(tmp_path: Path) -> None:
    scaled = counts() - 0.5
    np.savez(tmp_path / "x.npz", X=scaled, genes=np.array(GENES))
    wanted = WantedFeatures(names=GENES, kind="symbol", are_counts=False)
    assert np.array_equal(read(tmp_path / "x.npz", wanted)[1], scaled.astype(np.float32))


def damaged_matrices(folder: Path) -> dict[str, str]:
    text = (folder / "matrix.mtx").read_text()
    lines = text.splitlines()
    return {
        "is no matrix of numbers": text.replace("coordinate", "array"),
        "does not say its size": text.replace(lines[2], "13 7"),
        "is of 14 features and 7 cells": text.replace(lines[2], lines[2].replace("13", "14", 1)),
        "holds an entry outside": text.replace(lines[3], "99 1 5"),
        "that is no three numbers": text.replace(lines[3], "1 1 x"),
        "an entry that is no three": "\n".join([*lines[:3], "1 1", "5 2 1 7", *lines[5:]]),
        "entries and says": "\n".join(lines[:-1]),
        "does not go cell by cell": "\n".join([*lines[:3], *reversed(lines[3:])]),
    }


def test_damaged_matrices_are_refused(tmp_path: Path) -> None:
    folder = write_matrix(tmp_path, counts())
    for said, text in damaged_matrices(folder).items():
        (folder / "matrix.mtx").write_text(text)
        with pytest.raises(InputError, match=said):
            read(folder)


def test_other_damage_is_told_by_the_file(tmp_path: Path) -> None:
    folder = write_matrix(tmp_path, counts())
    (folder / "barcodes.tsv").rename(folder / "else.tsv")
    with pytest.raises(InputError, match=r"barcodes\.tsv is missing"):
        feature_table(folder)
    (folder / "else.tsv").rename(folder / "barcodes.tsv")
    (folder / "genes.tsv").write_text("x\n")
    with pytest.raises(InputError, match="both plain and gzipped, or twice"):
        feature_table(folder)
    packed = write_gz(tmp_path, counts())
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        read(packed)
    (tmp_path / "latin.csv").write_bytes(b"cell,g\xe9ne\nA,1\n")
    with pytest.raises(InputError, match="not text in UTF-8"):
        feature_table(tmp_path / "latin.csv")
    (tmp_path / "short.csv").write_text("cell,A,B\nx,1,2\ny,1\n")
    with pytest.raises(InputError, match="line 3: 1 values for 2 features"):
        list(feature_table(tmp_path / "short.csv").blocks())
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="is no table of cells: expected a header"):
        feature_table(tmp_path / "empty.csv")
    for name, found, said in (
        ("a", {"counts": counts()}, "expected one of genes, features, probes"),
        ("b", {"counts": counts()[0], "genes": GENES}, "expected a table of numbers"),
        (
            "c",
            {"counts": counts()[:, :5], "genes": GENES},
            r"names of shape \(7,\) for cells and \(12,\)",
        ),
    ):
        np.savez(tmp_path / f"{name}.npz", allow_pickle=False, **found)
        with pytest.raises(InputError, match=said):
            feature_table(tmp_path / f"{name}.npz")
    strange = np.frombuffer(b"\xff\xff\xff\x7f" * len(GENES), "<U1")
    np.savez(tmp_path / "d.npz", counts=counts(), genes=strange)
    with pytest.raises(InputError, match="holds a name that is no text"):
        feature_table(tmp_path / "d.npz")
    with pytest.raises(InputError, match="no table of cells that is known"):
        feature_table(tmp_path / "cells.xlsx")


def test_a_file_that_is_no_h5ad_or_holds_no_numbers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.h5ad").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        feature_table(tmp_path / "x.h5ad")
    anndata.AnnData(obs=pandas.DataFrame(index=["a"])).write_h5ad(tmp_path / "y.h5ad")
    with pytest.raises(InputError, match="holds no numbers"):
        feature_table(tmp_path / "y.h5ad")
    dense = anndata.AnnData(X=counts().astype(np.float32))
    dense.var_names = list(GENES)
    dense.write_h5ad(tmp_path / "z.h5ad")
    assert np.array_equal(read(tmp_path / "z.h5ad")[1], counts()[:, 2:9])


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("X/indptr", 1_000_000, "its sparse matrix is damaged"),
        ("X/indptr", 0, "its sparse matrix is damaged"),
        ("X/indices", 1_000_000, "a number lies outside of the 12 features"),
        ("X/indices", -1, "a number lies outside of the 12 features"),
    ],
)
def test_a_sparse_h5ad_with_damaged_places_is_refused(
    member: str, value: int, said: str, tmp_path: Path
) -> None:
    data = anndata.AnnData(X=csr_matrix(counts().astype(np.float32)))
    data.var_names = list(GENES)
    data.write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        file[member][3] = value
    with pytest.raises(InputError, match=said):
        read(tmp_path / "x.h5ad")


def test_a_sparse_h5ad_by_features_is_refused_with_what_to_do(tmp_path: Path) -> None:
    data = anndata.AnnData(X=csc_matrix(counts().astype(np.float32)))
    data.var_names = list(GENES)
    data.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(InputError, match=r"goes by features; save it by cells \(CSR\)"):
        read(tmp_path / "x.h5ad")


def test_a_line_without_an_end_is_not_held_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_tables, "_LONGEST_LINE", 100)
    (tmp_path / "x.csv").write_text("cell," + "A" * 1000)
    with pytest.raises(InputError, match="has a line of over 100 characters"):
        feature_table(tmp_path / "x.csv")


def test_an_array_that_claims_more_than_it_has_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", counts=counts(), genes=GENES, cells=CELLS)
    with zipfile.ZipFile(tmp_path / "whole.npz") as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    assert b"(7, 12)" in members["counts.npy"]
    members["counts.npy"] = members["counts.npy"].replace(b"(7, 12)", b"(8, 12)")
    with zipfile.ZipFile(tmp_path / "claims.npz", "w") as claims:
        for name, content in members.items():
            claims.writestr(name, content)
    with pytest.raises(InputError, match="and its header claims"):
        feature_table(tmp_path / "claims.npz")


def test_a_file_of_a_newer_anndata_and_one_with_too_many_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    data = anndata.AnnData(X=csr_matrix(counts().astype(np.float32)))
    data.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file["obs"].attrs["encoding-version"] = "9.9"
    with pytest.raises(InputError, match="cannot be read"):
        feature_table(path)
    with h5py.File(path, "r+") as file:
        del file["obs/_index"]
        file["obs"].create_dataset("_index", shape=(10**13,), dtype="i1", chunks=(1024,))
    with pytest.raises(InputError, match="more than 1000000 obs"):
        feature_table(path)


def test_names_in_bytes_are_names(tmp_path: Path) -> None:
    genes = np.array([name.encode() for name in GENES])
    np.savez(tmp_path / "x.npz", counts=counts(), genes=genes, cells=CELLS)
    assert feature_table(tmp_path / "x.npz").features.names == GENES


def test_blank_lines_of_a_text_are_no_cells(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("cell,GENE2,GENE3\n\nx,1,2\n\ny,3,4\n\n")
    (block,) = feature_table(tmp_path / "x.csv").blocks()
    assert block.names == ("x", "y")


def test_without_anndata_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(HostError, match=r"install vexas-edge\[h5ad\]"):
        feature_table(write_csv(tmp_path, counts()).with_suffix(".h5ad"))


def test_cells_without_a_count_at_the_ends_are_cells(tmp_path: Path) -> None:
    rows = counts()
    rows[0] = rows[-1] = rows[-2] = 0
    names, found = read(write_matrix(tmp_path, rows))
    assert tuple(names) == CELLS
    assert np.array_equal(found, rows[:, 2:9])


def test_no_more_is_held_than_what_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix_market, "_LINES_PER_READING", 4)
    table = feature_table(write_matrix(tmp_path, counts()))
    sizes = [len(block.rows.values) for block in table.blocks()]
    assert max(sizes) <= 4 + len(GENES)
    assert len(list(itertools.accumulate(sizes))) > 3


def test_real_counts_come_back_from_every_form(shared_data: Path, tmp_path: Path) -> None:
    found = feature_table(shared_data / "genes" / "aplastic_anemia.npz")
    wanted = WantedFeatures(names=found.features.names[:39_000:2], kind="ensembl", are_counts=True)
    matched = matched_features(wanted, found.features)
    assert matched.missing == ()
    dense = np.concatenate(
        [b.rows.dense(matched.places, len(wanted.names)) for b in checked_blocks(found, wanted)]
    )
    with np.load(shared_data / "genes" / "aplastic_anemia.npz") as arrays:
        assert np.array_equal(dense, arrays["counts"][:, :39_000:2])
    rows = [f"c{i}\t" + "\t".join(map(str, row)) for i, row in enumerate(dense[:3].astype(int))]
    text = "\t".join(("cell", *wanted.names)) + "\n" + "\n".join(rows)
    with gzip.open(tmp_path / "wide.tsv.gz", "wt") as packed:
        packed.write(text)
    again = feature_table(tmp_path / "wide.tsv.gz")
    (block,) = again.blocks()
    assert np.array_equal(
        block.rows.dense(matched_features(wanted, again.features).places, len(wanted.names)),
        dense[:3],
    )
