"""The table of cells in a file or folder, by its kind."""

from pathlib import Path

from vexas_edge.cells.limits import MOST_FEATURES
from vexas_edge.cells.vectors.annotated import annotated_table
from vexas_edge.cells.vectors.arrays import array_table
from vexas_edge.cells.vectors.matrix_market import MATRIX, matrix_files, matrix_folder
from vexas_edge.cells.vectors.table import FeatureTable
from vexas_edge.cells.vectors.text_tables import DELIMITERS, text_table
from vexas_edge.errors import InputError
from vexas_edge.smear.walk import is_folder, why_not
from vexas_edge.text import unicode_text

_ARRAYS, _ANNOTATED = ".npz", ".h5ad"


def feature_table(path: Path) -> FeatureTable:
    """The table in a file (.csv, .tsv, .txt, plain or gzipped, .npz, .h5ad) or a matrix's folder.

    Nothing is read of it but the names of its features.

    Raises:
        InputError: it cannot be read, or is of no kind that is known.
        HostError: what reads .h5ad is not installed.
    """
    table = _table_at(path)
    if len(table.features.names) > MOST_FEATURES:
        raise InputError(f"{path} has more than {MOST_FEATURES} features, more than may be")
    names = (*table.features.names, *table.features.others)
    if odd := next((name for name in names if unicode_text(name) != name), None):
        raise InputError(f"{path}: the name of a feature is no text: {unicode_text(odd)}")
    return table


def _table_at(path: Path) -> FeatureTable:
    if folder := _folder_of_matrix(path):
        return matrix_folder(folder)
    kind = _kind_of(path)
    if kind == _ARRAYS:
        return array_table(path)
    if kind == _ANNOTATED:
        return annotated_table(path)
    delimiter = DELIMITERS.get(kind)
    if delimiter is None:
        raise InputError(
            f"{path} is no table of cells that is known: .csv, .tsv or .txt, plain or as .gz, "
            f".npz, .h5ad, or a folder with {MATRIX}"
        )
    return text_table(path, delimiter)


def files_of_table(path: Path) -> tuple[Path, ...]:
    """The files that a table is in, in the order in which it has them.

    Raises:
        InputError: one of a matrix's folder is missing.
    """
    folder = _folder_of_matrix(path)
    return matrix_files(folder) if folder else (path,)


def _folder_of_matrix(path: Path) -> Path | None:
    """The folder, if the table is a matrix. Raises InputError for one without a matrix."""
    if is_matrix_file(path):
        return path.parent
    if not is_folder(path):
        return None
    if not is_matrix_folder(path):
        raise InputError(
            f"{path} is a folder without a {MATRIX}; name the tables in it, or have all below it "
            "taken with --recursive"
        )
    return path


def is_matrix_folder(path: Path) -> bool:
    """Whether there is a matrix in a folder.

    Raises:
        InputError: it cannot be listed.
    """
    try:
        return any(map(is_matrix_file, path.iterdir()))
    except OSError as error:
        raise InputError(f"{path} cannot be listed: {why_not(error)}") from error


def is_matrix_file(path: Path) -> bool:
    """Whether a file is the matrix of a folder that is a table, by its name."""
    return path.name.removesuffix(".gz") == MATRIX


def is_table_file(path: Path) -> bool:
    """Whether a file may be a table, by its name."""
    return _kind_of(path) in (_ARRAYS, _ANNOTATED, *DELIMITERS)


def table_stem(path: Path) -> str:
    """The name of a table's file without its suffixes.

    >>> table_stem(Path("marrow/P7.counts.csv.gz"))
    'P7.counts'
    """
    return Path(path.name.removesuffix(".gz")).stem


def _kind_of(path: Path) -> str:
    """What kind of table a file is, by its suffix; only text may be packed by gzip."""
    plain = path.name.removesuffix(".gz")
    kind = Path(plain).suffix.casefold()
    return kind if plain == path.name or kind in DELIMITERS else ""
