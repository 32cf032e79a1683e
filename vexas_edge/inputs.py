"""Reads files that others wrote, which may be damaged, or none at all: tables, TOML, arrays."""

import errno
import math
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vexas_edge.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINARY = getattr(os, "O_BINARY", 0)  # of Windows

_MOST_BYTES = 1 << 20
_MOST_ARRAY_BYTES, _LONGEST_HEADER = 128 << 20, 10_000
# A key of many parts makes a table in a table for each; what is read takes the square of it.
_MOST_PARTS, _DEEPEST = 16, 16
_BETWEEN_KEYS = re.compile(r"[=,{}\[\]\n]")


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
        InputError: it cannot be read, or is not in UTF-8.
    """
    try:
        with open_file(file) as stream:
            return stream.read().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{what} {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {file} is not in UTF-8; save it as CSV UTF-8") from error


def table_from_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        OSError: it cannot be read, or is not a file.
        ValueError: it is not TOML in UTF-8, or is larger or nested deeper than any that is meant.
    """
    import tomllib  # here, since `--help` is to be quick

    with open_file(path) as stream:
        content = stream.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it has over {_MOST_BYTES} bytes")
    text = content.decode("utf-8-sig")
    most_dots = max(key.count(".") for key in _BETWEEN_KEYS.split(text))
    if _depth(text) > _DEEPEST or most_dots > _MOST_PARTS:
        raise ValueError(f"it is nested deeper than {_DEEPEST} times")
    return tomllib.loads(text)


def _depth(text: str) -> int:
    """How deep brackets and braces are nested at most, those inside texts included."""
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
        with zipfile.ZipFile(BytesIO(content)) as archive:
            _check_sizes(archive)
        with np.load(BytesIO(content), allow_pickle=False) as opened:
            found = {name: opened[name] for name in opened.files}
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"no readable arrays ({type(error).__name__}: {error})") from error
    if strange := [name for name, array in found.items() if not isinstance(array, np.ndarray)]:
        raise ValueError(f"{strange[0]} is no array")
    return found


def _check_sizes(archive: zipfile.ZipFile) -> None:
    """Check that each array has the bytes that its header claims, before room is made for it."""
    from numpy.lib import format as npy

    members = archive.infolist()
    if sum(member.file_size for member in members) > _MOST_ARRAY_BYTES:
        raise ValueError(f"its arrays have over {_MOST_ARRAY_BYTES} bytes")
    for member in members:
        with archive.open(member) as stream:
            version = npy.read_magic(stream)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(stream, max_header_size=_LONGEST_HEADER)
            has, claims = member.file_size - stream.tell(), math.prod(shape) * dtype.itemsize
        if has != claims and not dtype.hasobject:
            raise ValueError(f"{member.filename} has {has} bytes, and its header claims {claims}")
