"""Walking through the folder of a case: what is in it, and what of that must not be read."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vexas_edge.errors import InputError
from vexas_edge.smear.case import Refusal
from vexas_edge.smear.system_folders import is_system_folder, system_folder_of
from vexas_edge.text import unicode_text


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkedFile:
    """A file found below a folder, or a folder that is not entered; `refusal` says why.

    changed_ns: when it was last written, in nanoseconds of its disk's clock.
    """

    path: str
    size: int
    changed_ns: int = 0
    refusal: Refusal | None = None


class UnlistedFolderError(InputError):
    """A folder cannot be listed. `path` is relative to where the walk began, with `/`."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def is_folder(path: Path) -> bool:
    """Whether this is a folder; no, if that cannot be found out, for which `Path.is_dir` raises."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_there(path: Path) -> bool:
    """Whether there is such a file; no, if that cannot be found out."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def walk_folder(
    root: Path, unlisted: list[UnlistedFolderError] | None = None
) -> Iterator[WalkedFile]:
    """Every file below `root`, never following a link out of it or into a folder.

    System folders are not entered; each counts as one refused file.

    Args:
        unlisted: takes the folders below `root` that cannot be listed, and the walk goes on; None
            ends it, since a part must not be taken for a whole smear.

    Raises:
        UnlistedFolderError: `root`, or another folder if `unlisted` is None, cannot be listed.
    """
    real_root = root.resolve()
    pending = [""]
    while pending:
        path = pending.pop()
        try:
            files, folders = list_folder(real_root, path)
        except UnlistedFolderError as problem:
            if unlisted is None or not path:
                raise
            unlisted.append(problem)
            continue
        yield from files
        pending += folders


def list_folder(real_root: Path, path: str) -> tuple[list[WalkedFile], list[str]]:
    """The files in one folder of a walk, and the paths of the folders that are to be entered.

    Args:
        real_root: where the walk began, resolved.
        path: of the folder, relative to that, with `/`.

    Raises:
        UnlistedFolderError: it cannot be listed.
    """
    prefix, folder = f"{path}/" if path else "", real_root / path
    try:
        found = [_found(prefix, entry, real_root) for entry in _entries(folder)]
    except OSError as error:
        raise UnlistedFolderError(path, f"{folder} cannot be listed: {why_not(error)}") from error
    files = [item for item in found if isinstance(item, WalkedFile)]
    return files, [item for item in found if isinstance(item, str)]


def _found(prefix: str, entry: os.DirEntry[str], root: Path) -> WalkedFile | str:
    """The file, or the path of the folder to go on with. Raises OSError where the disk fails."""
    path = prefix + entry.name
    if is_system_folder(entry.name) and entry.is_dir():
        return WalkedFile(path=unicode_text(path), size=0, refusal="system_folder")
    if not entry.is_dir(follow_symlinks=False):
        return _walked(path, entry, root)
    # A Windows junction is a link that Python 3.11 does not call a symlink.
    if _target(entry) != Path(entry.path):
        return WalkedFile(path=path, size=0, refusal=_link_refusal(entry, root))
    return path


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


def why_not(error: OSError) -> str:
    """What the system says of an error, in words."""
    return error.strerror or str(error)


def _walked(path: str, entry: os.DirEntry[str], root: Path) -> WalkedFile:
    try:
        path.encode()
    except UnicodeEncodeError:
        return WalkedFile(path=unicode_text(path), size=0, refusal="name_not_unicode")
    refusal = _link_refusal(entry, root) if entry.is_symlink() else _kind_refusal(entry)
    if refusal:
        return WalkedFile(path=path, size=0, refusal=refusal)
    facts = entry.stat()
    return WalkedFile(path=path, size=facts.st_size, changed_ns=facts.st_mtime_ns)


def _kind_refusal(entry: os.DirEntry[str]) -> Refusal | None:
    return None if entry.is_file(follow_symlinks=False) else "not_a_file"


def _link_refusal(entry: os.DirEntry[str], root: Path) -> Refusal | None:
    target = _target(entry)
    if not target.is_relative_to(root):
        return "link_leaves_case"
    if system_folder_of(target.relative_to(root).as_posix()):
        return "system_folder"
    if target.is_dir():
        return "link_to_folder"
    return None if target.is_file() else "broken_link"


def _target(entry: os.DirEntry[str]) -> Path:
    # Not Path.resolve: that raises RuntimeError for a link to itself.
    return Path(os.path.realpath(entry.path))
