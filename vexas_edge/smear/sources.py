"""The files of a case, in a folder or a zip: listed in one pass and read in the same way."""

import os
import re
import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol

from vexas_edge.errors import CellError, InputError
from vexas_edge.text import unicode_text

MAX_FILES = 100_000
MAX_FILE_BYTES = 64 * 1024 * 1024
_MORE_BYTES = 1024 * 1024

Refusal = Literal[
    "broken_link", "link_leaves_case", "link_to_folder", "not_a_file", "name_not_unicode"
]

_DRIVE = re.compile(r"[A-Za-z]:")
_ENCRYPTED = 0x1
_ZIP_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    UnicodeDecodeError,
)
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Source(Protocol):
    """A listing of files and a way to read them; `read` may be called from many threads."""

    @property
    def files(self) -> Mapping[str, int]:
        """The size in bytes of each file, by its path relative to the root, with `/`."""

    @property
    def refused(self) -> Mapping[str, Refusal]:
        """The reason why a file is not among `files`, by its path."""

    def read(self, path: str) -> bytes:
        """The whole file. Raises CellError where it cannot be read or is over MAX_FILE_BYTES."""

    def close(self) -> None:
        """Close all files, so that Windows lets the case be moved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkedFile:
    """A file found below a folder; `refusal` says why it must not be read."""

    path: str
    size: int
    refusal: Refusal | None = None


def open_source(path: Path) -> Source:
    """The listed folder or zip at `path`. Raises InputError where it is neither or is unsafe."""
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        return ZipSource(path)
    raise InputError(f"{path} was not found; expected the folder or .zip of one smear")


def walk_folder(root: Path) -> Iterator[WalkedFile]:
    """Every file below `root`, never following a link out of it or into a folder.

    Raises InputError where a folder cannot be listed: a part must not be taken for a whole smear.
    """
    real_root = root.resolve()
    pending = [("", real_root)]
    while pending:
        prefix, folder = pending.pop()
        for entry in _entries(folder):
            path = prefix + entry.name
            if not entry.is_dir(follow_symlinks=False):
                yield _walked(path, entry, real_root)
            elif _target(entry) == folder / entry.name:
                pending.append((f"{path}/", folder / entry.name))
            else:  # a Windows junction, which Python 3.11 does not call a symlink
                yield WalkedFile(path=path, size=0, refusal=_link_refusal(entry, real_root))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}") from error


def _walked(path: str, entry: os.DirEntry[str], root: Path) -> WalkedFile:
    try:
        path.encode()
    except UnicodeEncodeError:
        return WalkedFile(path=unicode_text(path), size=0, refusal="name_not_unicode")
    refusal = _link_refusal(entry, root) if entry.is_symlink() else _kind_refusal(entry)
    try:
        return WalkedFile(path=path, size=0 if refusal else entry.stat().st_size, refusal=refusal)
    except OSError as error:
        raise InputError(f"{entry.path} cannot be read: {error.strerror}") from error


def _kind_refusal(entry: os.DirEntry[str]) -> Refusal | None:
    return None if entry.is_file(follow_symlinks=False) else "not_a_file"


def _link_refusal(entry: os.DirEntry[str], root: Path) -> Refusal | None:
    target = _target(entry)
    if not target.is_relative_to(root):
        return "link_leaves_case"
    if target.is_dir():
        return "link_to_folder"
    return None if target.is_file() else "broken_link"


def _target(entry: os.DirEntry[str]) -> Path:
    # Not Path.resolve: that raises RuntimeError for a link to itself.
    return Path(os.path.realpath(entry.path))


class FolderSource:
    """The files below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.files: dict[str, int] = {}
        self.refused: dict[str, Refusal] = {}
        for count, file in enumerate(walk_folder(root), start=1):
            _check_count(count, root)
            if file.refusal:
                self.refused[file.path] = file.refusal
            else:
                self.files[file.path] = file.size

    def read(self, path: str) -> bytes:
        """The whole file. Raises CellError where it cannot be read or is over MAX_FILE_BYTES."""
        _check_listed(path, self.files)
        try:
            with open(f"{self._root}/{path}", "rb", buffering=0) as file:  # noqa: PTH123 - Path costs time
                return _bounded(file, self.files[path])
        except OSError as error:
            raise CellError("cannot_read", f"the file cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Do nothing: no file of a folder stays open."""


class ZipSource:
    """The files in a zip, read in place: nothing is unpacked to disk.

    The whole zip is refused if it holds a link, a name twice, an encrypted file, or a path that
    leads out of it.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self.refused: dict[str, Refusal] = {}
        try:
            self._zip = zipfile.ZipFile(path)
        except (*_ZIP_DAMAGE, ValueError) as error:
            raise InputError(
                f"{path} is not a readable zip ({error}); expected the folder or .zip of one smear"
            ) from error
        try:
            self._members = _members(self._zip, path)
        except InputError:
            self._zip.close()
            raise
        self.files = {name: member.file_size for name, member in self._members.items()}

    def read(self, path: str) -> bytes:
        """The whole file. Raises CellError where it cannot be read or is over MAX_FILE_BYTES."""
        _check_listed(path, self.files)
        try:
            with self._lock, self._zip.open(self._members[path]) as file:
                return _bounded(file, self.files[path])
        except _ZIP_DAMAGE as error:
            raise CellError("cannot_read", f"the file cannot be read: {error}") from error

    def close(self) -> None:
        """Close the zip; nothing can be read from it any more."""
        with self._lock:
            self._zip.close()


def _members(opened: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for count, member in enumerate(opened.infolist(), start=1):
        _check_count(count, path)
        name = _safe_name(member, path)
        if member.filename.endswith(("/", "\\")):
            continue
        if name in members:
            raise InputError(f"{path} holds {name!r} twice; pack it again")
        members[name] = member
    return members


def _safe_name(member: zipfile.ZipInfo, path: Path) -> str:
    # Some Windows tools write backslashes, which zipfile translates on Windows only.
    name = member.filename.replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not name or name.startswith("/") or _DRIVE.match(name) or ".." in parts:
        raise InputError(
            f"{path} holds {name!r}, which is not a path inside the zip; the zip is not read"
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(f"{path} holds the link {name!r}; pack the files themselves")
    if member.flag_bits & _ENCRYPTED:
        raise InputError(f"{path} is encrypted ({name!r}); pack it without a password")
    if member.compress_type not in _COMPRESSIONS:
        raise InputError(f"{path} uses a compression other than deflate; pack it as a plain zip")
    return "/".join(parts)


def _check_count(count: int, where: Path) -> None:
    if count > MAX_FILES:
        raise InputError(
            f"{where} holds more than {MAX_FILES} files; expected the folder or .zip of one smear"
        )


def _check_listed(path: str, files: Mapping[str, int]) -> None:
    if path not in files:
        raise CellError("cannot_read", "the file is not among the files of this case")


def _bounded(file: IO[bytes], listed_bytes: int) -> bytes:
    # The size in a zip's header may be wrong, and a file may grow, so the cap is on what is read.
    # The listed size is read first: asking for the cap at once would allocate as much each time.
    data = file.read(min(listed_bytes, MAX_FILE_BYTES) + 1)
    while len(data) <= MAX_FILE_BYTES and (more := file.read(_MORE_BYTES)):
        data += more
    if len(data) > MAX_FILE_BYTES:
        raise CellError(
            "file_too_large",
            f"the file is over {MAX_FILE_BYTES} bytes; expected the image of one cell",
        )
    return data
