"""The files of a case, in a folder or a zip: listed in one pass and read in the same way."""

import errno
import re
import stat
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from vexas_edge.errors import CellError, InputError
from vexas_edge.inputs import ZIP_DAMAGE, open_file, open_zip
from vexas_edge.smear.case import MAX_FILE_BYTES, Refusal, Source
from vexas_edge.smear.system_folders import system_folder_of
from vexas_edge.smear.walk import walk_folder, why_not
from vexas_edge.text import unicode_text

MAX_FILES = 100_000
_MORE_BYTES = 1024 * 1024

_DRIVE = re.compile(r"[A-Za-z]:")
_ENCRYPTED = 0x1
_UTF8_NAME = 0x800
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def open_source(path: Path) -> Source:
    """The listed folder or zip at `path`. Raises InputError where it is neither or is unsafe."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise InputError(f"{path} cannot be read: {why_not(error)}") from error
        raise InputError(
            f"{path} was not found; expected the folder or .zip of one smear"
        ) from error
    if stat.S_ISDIR(mode):
        return FolderSource(path)
    if stat.S_ISREG(mode):
        return ZipSource(path)
    raise InputError(f"{path} is neither a folder nor a file; expected the smear's folder or .zip")


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
        """The whole file; `Source.read` says what is raised."""
        _check_listed(path, self.files)
        whole = f"{self._root}/{path}"
        try:
            with open_file(whole) as file:
                data = _bounded(file, self.files[path])
        except OSError as error:
            raise _unreachable(whole, why_not(error)) from error
        if len(data) != self.files[path]:
            raise _unreachable(whole, f"it had {self.files[path]} bytes, now {len(data)}")
        return data

    def close(self) -> None:
        """Do nothing: no file of a folder stays open."""


class ZipSource:
    """The files in a zip, read in place: nothing is unpacked to disk.

    The whole zip is refused if it holds a link, a name twice, an encrypted file, or a path that
    leads out of it. What lies in a system folder, such as `__MACOSX`, is not read.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self.refused: dict[str, Refusal]
        try:
            self._path, self._size = path, path.stat().st_size
            self._zip = open_zip(path, MAX_FILES)
        except ZIP_DAMAGE as error:
            raise InputError(
                f"{path} is not a readable zip ({error}); expected the folder or .zip of one smear"
            ) from error
        try:
            self._members, self.refused = _members(self._zip, path)
        except InputError:
            self._zip.close()
            raise
        self.files = {name: member.file_size for name, member in self._members.items()}

    def read(self, path: str) -> bytes:
        """The whole file; `Source.read` says what is raised."""
        _check_listed(path, self.files)
        try:
            with self._lock, self._zip.open(self._members[path]) as file:
                return _bounded(file, self.files[path])
        except CellError:
            raise
        except ZIP_DAMAGE as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise _unreachable(f"{self._path}: {path}", why_not(error)) from error
            if self._changed():
                raise _unreachable(f"{self._path}: {path}", "the zip has changed") from error
            raise CellError("cannot_read", f"the file is damaged in the zip: {error}") from error

    def _changed(self) -> bool:
        """Whether the zip has another size than when it was opened, or none that can be had."""
        try:
            return self._path.stat().st_size != self._size
        except OSError:
            return True

    def close(self) -> None:
        """Close the zip; nothing can be read from it any more."""
        with self._lock:
            self._zip.close()


def _members(
    opened: zipfile.ZipFile, path: Path
) -> tuple[dict[str, zipfile.ZipInfo], dict[str, Refusal]]:
    """The files by their path, and the system folders."""
    members: dict[str, zipfile.ZipInfo] = {}
    refused: dict[str, Refusal] = {}
    _check_count(len(opened.infolist()), path)
    names = [_safe_name(member, path) for member in opened.infolist()]
    tops = {name.partition("/")[0] + "/" for name in names}
    packed = tops.pop() if len(tops) == 1 else ""  # a folder that a user chose, whatever its name
    for name, member in zip(names, opened.infolist(), strict=True):
        if folder := system_folder_of(name.removeprefix(packed)):
            refused[packed + folder] = "system_folder"
        elif not name.endswith("/"):
            _check_readable(member, name, path)
            if name in members:
                raise InputError(f"{path} holds {name!r} twice; pack it again")
            members[name] = member
    return members, refused


def _safe_name(member: zipfile.ZipInfo, path: Path) -> str:
    """The member's path, with `/`; the path of a folder ends with it."""
    # Some Windows tools write backslashes, which zipfile translates on Windows only.
    name = _written_name(member).replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not name or name.startswith("/") or _DRIVE.match(name) or ".." in parts:
        raise InputError(
            f"{path} holds {name!r}, which is not a path inside the zip; the zip is not read"
        )
    return "/".join(parts) + ("/" if name.endswith("/") else "")


def _written_name(member: zipfile.ZipInfo) -> str:
    """The name as its writer meant it: macOS writes UTF-8 without the flag that says so."""
    if member.flag_bits & _UTF8_NAME:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def _check_readable(member: zipfile.ZipInfo, name: str, path: Path) -> None:
    if member.header_offset < 0:
        raise InputError(f"{path} is damaged: {name!r} begins before the zip does")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(f"{path} holds the link {name!r}; pack the files themselves")
    if member.flag_bits & _ENCRYPTED:
        raise InputError(f"{path} is encrypted ({name!r}); pack it without a password")
    if member.compress_type not in _COMPRESSIONS:
        raise InputError(f"{path} uses a compression other than deflate; pack it as a plain zip")


def _unreachable(file: str, why: str) -> InputError:
    return InputError(
        f"{unicode_text(file)} cannot be read as it was listed ({why}); the case is not scored on "
        "the rest: check permissions, disk and network, and score it again"
    )


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
