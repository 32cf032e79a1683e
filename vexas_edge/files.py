"""Writing files so that they are either complete or absent, also after the power has failed."""

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vexas_edge.errors import HostError

_RETRY_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.5)
# What network disks say that sync files alone.
_NO_FOLDERS_SYNCED = (errno.EINVAL, errno.ENOTSUP)


class HeldFileError(HostError):
    """A file cannot be replaced, most likely because another program has it open."""


def write_atomically(path: Path, content: bytes, partial: Path | None = None) -> None:
    """Write a file so that it is either complete or absent.

    Args:
        partial: where the content is written first, on the same disk; None means beside `path`.

    Raises:
        HeldFileError: the old file cannot be replaced; the new content stays in `partial`.
        HostError: the file cannot be written.
    """
    with replacing(path, partial) as beside:
        beside.write_bytes(content)


@contextmanager
def replacing(path: Path, partial: Path | None = None) -> Iterator[Path]:
    """The place where a file is written beside `path`, whose name it takes when it is on the disk.

    If anything is raised before that, what was at `path` stays, and the new file is removed.

    Args:
        partial: this place, on the same disk; None means beside `path`.

    Raises:
        HeldFileError: the old file cannot be replaced; the new one stays in `partial`.
        HostError: the file cannot be written.
    """
    partial = partial or partial_of(path)
    try:
        yield partial
        _sync(partial)
        take_name(partial, path)
        sync_folder(path.parent)
    except HeldFileError:
        raise
    except BaseException as error:  # an interruption too leaves nothing half-written
        with suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError):
            raise HostError(f"{path} cannot be written: {error.strerror}") from error
        raise


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


def partial_of(path: Path) -> Path:
    """The temporary path at which a file is written before it takes its final name."""
    return path.with_name(f"{path.name}.partial")


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
