"""Writing files so that they are either complete or absent, also after the power has failed."""

import errno
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vexas_edge.errors import HostError

_RETRY_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.5)
_TOKEN_BYTES = 6
_PARTIAL = re.compile(rf"(.+)\.[0-9a-f]{{{2 * _TOKEN_BYTES}}}\.partial", re.DOTALL)
# After so long nobody writes to a partial file any more; the longest take seconds.
UNUSED_SECONDS = 3600.0
# Where new content lies that could not take its name, by that name.
_kept: dict[Path, Path] = {}
# What network disks say that sync files alone.
_NO_FOLDERS_SYNCED = (errno.EINVAL, errno.ENOTSUP)


class HeldFileError(HostError):
    """A file cannot be replaced, most likely because another program has it open."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either complete or absent.

    Raises:
        HeldFileError, HostError: as `replacing`.
    """
    with replacing(path) as partial:
        partial.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The place where a file is written beside `path`, whose name it takes when it is on the disk.

    If anything is raised before that, what was at `path` stays, and the new file is removed.

    Raises:
        HeldFileError: the old file cannot be replaced; the new one stays where it was written.
        HostError: the file cannot be written.
    """
    partial = None
    try:
        partial = new_partial(path)
        yield partial
        _sync(partial)
        take_name(partial, path)
        _keep_one(path, None)
        sync_folder(path.parent)
    except HeldFileError:
        _keep_one(path, partial)
        raise
    except BaseException as error:  # an interruption too leaves nothing half-written
        if partial:
            with suppress(OSError):
                partial.unlink()
        if isinstance(error, OSError):
            raise HostError(f"{path} cannot be written: {error.strerror}") from error
        raise


def put_in_place(path: Path, content: bytes) -> None:
    """Put a file with this content at `path` in one step, without waiting for the disk.

    Raises:
        OSError: it cannot be written.
    """
    partial = new_partial(path)
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def new_partial(path: Path) -> Path:
    """A new, empty file beside `path`, in which a file is written before it takes this name.

    Nobody knows its name before, so that no link or file of another's can lie there.

    Raises:
        OSError: it cannot be made.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(_TOKEN_BYTES)}.partial")
    no_link = getattr(os, "O_NOFOLLOW", 0)  # not on Windows
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | no_link, 0o666))
    return partial


def remove_partials(
    folder: Path, ours: Callable[[str], bool], *, unused_seconds: float = UNUSED_SECONDS
) -> None:
    """Remove what `new_partial` has made in a folder for runs that were cut off.

    Args:
        ours: whether a file that was to take this name would be ours to remove.
        unused_seconds: for how long nobody must have written to it.
    """
    for path in folder.glob("*.partial"):
        found = _PARTIAL.fullmatch(path.name)
        with suppress(OSError):
            if found and ours(found[1]) and time.time() - path.lstat().st_mtime >= unused_seconds:
                path.unlink()


def _keep_one(path: Path, partial: Path | None) -> None:
    """Of the new contents that could not take the place of `path`, keep this one and no older."""
    with suppress(KeyError, OSError):
        _kept.pop(path).unlink()
    if partial:
        _kept[path] = partial


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system lets us.

    Raises:
        OSError: the disk fails.
    """
    if sys.platform == "win32":  # there, a folder cannot be opened
        return
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDERS_SYNCED:
            raise


def _sync(path: Path) -> None:
    # Windows syncs only what is open for writing, and no other system opens a folder for that.
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def take_name(partial: Path, path: Path) -> None:
    """Rename the finished file at `partial` to `path`, replacing what was there.

    Raises:
        HeldFileError: another program holds the old file.
    """
    # A spreadsheet program locks a file that it has open, often for only a second or two.
    for pause in (*_RETRY_SECONDS, None):
        try:
            partial.replace(path)
            return
        except OSError as error:
            if pause is None or not isinstance(error, PermissionError):
                raise HeldFileError(
                    f"{path} cannot be replaced ({error.strerror}): is it open in another program? "
                    f"The new content is in {partial}"
                ) from error
            time.sleep(pause)
