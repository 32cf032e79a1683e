"""Reads files that others wrote, which may be damaged, or none at all: tables, TOML, arrays."""

import csv
import errno
import math
import os
import re
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vexas_edge.errors import InputError
from vexas_edge.text import listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINARY = getattr(os, "O_BINARY", 0)  # of Windows

# What is meant has a hundredth of it.
MOST_TOML_BYTES, MOST_TABLE_BYTES = 256 << 10, 4 << 20
_QUOTED = re.compile(r'"[^"]*"')
_LONGEST_COLUMN = 60  # in a message
_MOST_ARRAYS, _MOST_ARRAY_BYTES, _LONGEST_HEADER = 1000, 128 << 20, 10_000
# A key of many parts makes a table in a table for each; what is read takes the square of it.
_MOST_PARTS, _DEEPEST = 16, 16
_BETWEEN_KEYS = re.compile(r"[=,{}\[\]\n]")
# Texts and comments of TOML, to the end of the line or of the file where they are not ended.
_TEXTS = re.compile(
    r'''"""(?:\\.?|[^\\])*?(?:"""|\Z)|"(?:\\.?|[^"\\\n])*"?|#[^\n]*'''
    r"""|'''.*?(?:'''|\Z)|'[^'\n]*'?""",
    re.DOTALL,
)


# What zipfile raises for a damaged, encrypted or strangely packed archive.
ZIP_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError),
    *(IndexError, struct.error),
)
# What numpy, and Python's parser inside it, raise for damaged arrays, in a zip or not.
ARRAY_DAMAGE = (
    *ZIP_DAMAGE,
    *(LookupError, TypeError, AttributeError, ArithmeticError, SyntaxError, tokenize.TokenError),
)
# The end of a zip, its mark and what follows it: number and bytes of the entries in its list. Of
# more, or longer ones, the wide form tells, which lies before it, here with the 20 bytes between.
_END, _WIDE_END = struct.Struct("<4s6xHI6x"), struct.Struct("<4s28xQQ28x")
_END_MARK, _WIDE_MARK, _LONGEST_COMMENT = b"PK\5\6", b"PK\6\6", 0xFFFF
# An entry has 46 bytes and its path; this is for paths of 150 characters on average.
_BYTES_PER_ENTRY = 200


@contextmanager
def open_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file, opened for reading; never a pipe or a device, which might not be read to its end.

    Raises:
        OSError: it cannot be opened, or is something else.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        yield stream


def read_file(path: str | Path, most_bytes: int | None = None) -> bytes:
    """The content of a file.

    Raises:
        OSError: it cannot be read, is no file, or has more bytes than that.
    """
    with open_file(path) as stream:
        content = stream.read() if most_bytes is None else stream.read(most_bytes + 1)
    if most_bytes is not None and len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it has over {most_bytes} bytes")
    return content


def open_zip(file: Path | BinaryIO, most_files: int) -> zipfile.ZipFile:
    """A zip, opened for reading if its list of files is not longer than any that is meant.

    Raises:
        One of `ZIP_DAMAGE`: it is longer, or the file is no zip.
    """
    if isinstance(file, Path):
        with open_file(file) as stream:
            n_files, n_bytes = _length_of_list(stream)
    else:
        n_files, n_bytes = _length_of_list(file)
    if n_files > most_files or n_bytes > most_files * _BYTES_PER_ENTRY:
        raise ValueError(f"it holds more than {most_files} files")
    return zipfile.ZipFile(file)


def _length_of_list(zipped: BinaryIO) -> tuple[int, int]:
    """How many files a zip says that it holds, and the bytes of their list; 0 if it does not say.

    The end is looked for where zipfile looks for it.
    """
    size = zipped.seek(0, os.SEEK_END)
    zipped.seek(max(0, size - _LONGEST_COMMENT - _END.size - _WIDE_END.size))
    tail = zipped.read()
    at = len(tail) - _END.size
    if tail[max(0, at) :][:4] != _END_MARK or tail[-2:] != b"\0\0":
        at = tail.rfind(_END_MARK)
    if at < 0 or at + _END.size > len(tail):
        return 0, 0
    _, n_files, n_bytes = _END.unpack_from(tail, at)
    wide_at = at - _WIDE_END.size
    if wide_at >= 0 and tail[wide_at:].startswith(_WIDE_MARK):
        _, n_files, n_bytes = _WIDE_END.unpack_from(tail, wide_at)
    return n_files, n_bytes


def check_file(path: Path, what: str) -> None:
    """Check that a file is there. Raises InputError where it is not, with `what` it should be."""
    if path.is_dir():
        raise InputError(f"{what} {path} is a folder; expected a file")
    if not path.is_file():
        raise InputError(f"{what} {path} was not found")


def text_of_table(file: Path, what: str) -> str:
    """The text of a CSV file that a spreadsheet program wrote.

    Args:
        what: the file is, for messages.

    Raises:
        InputError: it cannot be read, is larger than any that is meant, or is not in UTF-8.
    """
    try:
        with open_file(file) as stream:
            content = stream.read(MOST_TABLE_BYTES + 1)
        if len(content) > MOST_TABLE_BYTES:
            raise InputError(f"{what} {file} has over {MOST_TABLE_BYTES} bytes; split it")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{what} {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {file} is not in UTF-8; save it as CSV UTF-8") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class CsvTable:
    """What a CSV file holds; no text begins or ends with a space.

    columns: the texts of its first line.
    rows: the other rows, each after its line in the file; those without any text are left out.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    @property
    def has(self) -> str:
        """Its columns, for messages."""
        return listed(repr(name[:_LONGEST_COLUMN]) for name in self.columns) or "none"


def table_from_csv(file: Path, what: str) -> CsvTable:
    """The table in a CSV file whose columns are separated by commas, or by semicolons.

    Args:
        what: the file is, for messages.

    Raises:
        InputError: as `text_of_table`, or it is no CSV.
    """
    text = text_of_table(file, what)
    header = next((line for line in text.splitlines() if _is_header(line)), "")
    delimiter = ";" if ";" in _QUOTED.sub("", header) else ","
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        written = ((reader.line_num, tuple(value.strip() for value in row)) for row in reader)
        rows = [row for row in written if any(row[1])]
    except csv.Error as error:
        raise InputError(f"{what} {file}, line {reader.line_num}: {error}") from error
    if rows and not _is_header(rows[0][1][0]):
        rows = rows[1:]
    return CsvTable(columns=rows[0][1] if rows else (), rows=tuple(rows[1:]))


def _is_header(line: str) -> bool:
    """Whether a line may be the first of a table: it is not empty, nor Excel's mark `sep=`."""
    return bool(line.strip()) and not line.casefold().startswith("sep=")


def state_of_file(file: Path, what: str) -> tuple[int, int]:
    """The size and the time of a file, one of which changes when it is written anew.

    Args:
        what: the file is, for messages.

    Raises:
        InputError: it is not there, or cannot be looked at.
    """
    try:
        facts = file.stat()
    except OSError as error:
        raise InputError(f"{what} {file} cannot be read: {error.strerror}") from error
    return facts.st_size, facts.st_mtime_ns


def table_from_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        OSError: it cannot be read, or is not a file.
        ValueError: it is not TOML in UTF-8, or is larger or nested deeper than any that is meant.
    """
    import tomllib  # here, since `--help` is to be quick

    with open_file(path) as stream:
        content = stream.read(MOST_TOML_BYTES + 1)
    if len(content) > MOST_TOML_BYTES:
        raise ValueError(f"it has over {MOST_TOML_BYTES} bytes")
    text = content.decode("utf-8-sig")
    plain = _TEXTS.sub("_", text)
    most_dots = max(key.count(".") for key in _BETWEEN_KEYS.split(plain))
    if _depth(plain) > _DEEPEST or most_dots > _MOST_PARTS:
        raise ValueError(f"it is nested deeper than {_DEEPEST} times")
    return tomllib.loads(text)


def _depth(text: str) -> int:
    """How deep brackets and braces are nested at most."""
    depth = most = 0
    for character in re.findall(r"[\[\]{}]", text):
        depth = max(0, depth + (1 if character in "[{" else -1))
        most = max(most, depth)
    return most


def arrays_from_npz(content: bytes) -> "dict[str, NDArray[Any]]":
    """Every array by its name.

    Raises:
        ValueError: the content is no such file, is damaged, larger than any that is meant, or would
            have to be unpickled.
    """
    import numpy as np  # here, since `--help` is to be quick

    try:
        with open_zip(BytesIO(content), _MOST_ARRAYS) as archive:
            check_arrays(archive)
        with np.load(BytesIO(content), allow_pickle=False) as opened:
            found = {name: opened[name] for name in opened.files}
    except ARRAY_DAMAGE as error:
        raise ValueError(f"no readable arrays ({type(error).__name__}: {error})") from error
    if strange := [name for name, array in found.items() if not isinstance(array, np.ndarray)]:
        raise ValueError(f"{strange[0]} is no array")
    return found


def check_arrays(archive: zipfile.ZipFile, most_bytes: int = _MOST_ARRAY_BYTES) -> None:
    """Check that each array has the bytes that its header claims, before room is made for it.

    Raises:
        One of `ARRAY_DAMAGE`: one does not, or all together have more bytes than that.
    """
    from numpy.lib import format as npy

    if sum(member.file_size for member in archive.infolist()) > most_bytes:
        raise ValueError(f"its arrays have over {most_bytes} bytes")
    for member in archive.infolist():
        if not member.filename.endswith(".npy"):
            continue
        with archive.open(member) as stream:
            version = npy.read_magic(stream)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(stream, max_header_size=_LONGEST_HEADER)
            has, claims = member.file_size - stream.tell(), math.prod(shape) * dtype.itemsize
        if has != claims and not dtype.hasobject:
            raise ValueError(f"{member.filename} has {has} bytes, and its header claims {claims}")
