"""One writer for a results folder: the kernel's lock on a local disk, a heartbeat on a share.

The file `lock.json` is there while somebody writes, or if one has died while writing, and says who.
It is the one file of a results folder that names a host.
"""

import errno
import os
import platform
import secrets
import sys
import threading
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Annotated, Self

import msgspec

from vexas_edge.errors import HostError
from vexas_edge.files import put_in_place
from vexas_edge.host.shares import is_on_share
from vexas_edge.inputs import read_file
from vexas_edge.talk import Say

LOCK = "lock.json"
# How often an owner shows on a share that it lives, and after how many of these it is taken for
# dead. Nobody's clock is compared with another's: whoever waits counts by its own.
BEAT_SECONDS = 5.0
_BEATS_MISSED = 4
# The byte that Windows locks lies behind the content, which others may then read.
_LOCKED_BYTE = 1 << 30
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class TakenOverError(HostError):
    """A results folder is another process's by now."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes. token: by which an owner knows itself. beat: how often it has shown itself."""

    host: str
    pid: Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
    started: str
    token: Annotated[str, msgspec.Meta(pattern=r"^\w{1,64}$")]
    beat: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, which began at {self.started}"


class FolderLock:
    """The right to write to a folder, as a context manager.

    cut_off: the owner that died with it, if this took it over.
    """

    def __init__(
        self,
        folder: Path,
        *,
        on_share: bool | None = None,
        say: Say = lambda _: None,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        """Take the folder.

        Args:
            on_share: whether it lies on a share; None finds out.
            say: is told when it is to be waited whether an owner still lives.

        Raises:
            HostError: a living owner has it, who is named, or the folder cannot be written.
        """
        self._path = folder / LOCK
        self._on_share = is_on_share(folder) if on_share is None else on_share
        self._say, self._beat_seconds = say, beat_seconds
        self._me = Owner(
            host=platform.node(),
            pid=os.getpid(),
            started=time.strftime("%Y-%m-%d %H:%M:%S"),
            token=secrets.token_hex(8),
        )
        self.cut_off: Owner | None = None
        self._descriptor = -1
        self._released = threading.Event()
        try:
            if self._on_share:
                self._take_on_share()
            else:
                self._take_locally()
        except OSError as error:
            raise HostError(
                f"results folder {folder} cannot be written: {error.strerror}; name another"
            ) from error

    def check(self) -> None:
        """Check that the folder is still this owner's; a PC that slept may have lost it.

        Raises:
            TakenOverError: another one has it by now.
        """
        now = self._owner()
        gone = not self._on_share and not _is_file(self._descriptor, self._path)
        if gone or (now and now.token != self._me.token):
            raise TakenOverError(
                f"the results folder {self._path.parent} was taken over by "
                f"{now or 'somebody who removed its lock'}; run it again"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the folder back."""
        self._released.set()
        if self._descriptor < 0:
            if (owner := self._owner()) and owner.token == self._me.token:
                with suppress(OSError):
                    self._path.unlink()
            return
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)  # who ends in order was not cut off
        if sys.platform == "win32":  # an open file cannot be removed there
            os.close(self._descriptor)
        with suppress(OSError):
            self._path.unlink()
        if sys.platform != "win32":  # it is still locked, so nobody has made another
            os.close(self._descriptor)

    def _take_locally(self) -> None:
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _lock(descriptor)
            except OSError as error:
                os.close(descriptor)
                if error.errno in _BUSY:
                    raise self._refusal(self._owner()) from error
                raise
            if _is_file(descriptor, self._path):
                break
            os.close(descriptor)  # its owner gave it back meanwhile
        self._descriptor = descriptor
        self.cut_off = self._owner()
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, msgspec.json.encode(self._me))

    def _take_on_share(self) -> None:
        while not self._create():
            dead, given_up = self._dead_owner()
            if self._take_over(dead, given_up):
                self.cut_off = dead
                break
        threading.Thread(target=self._beat, name="results-lock", daemon=True).start()

    def _create(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(msgspec.json.encode(self._me))
        return True

    def _dead_owner(self) -> tuple[Owner | None, frozenset[str]]:
        """The owner, once it is known to be dead, and claims to its folder by others that died too.

        Raises:
            HostError: it lives.
        """
        owner = self._owner()
        claims = frozenset(claim.name for claim in self._claims(owner))
        if owner is None or claims or not _has_died(owner):
            name = owner or "another process"
            self._say(f"{self._path.parent} was last written by {name}; waiting whether it lives")
            ends = time.monotonic() + _BEATS_MISSED * self._beat_seconds
            while time.monotonic() < ends:
                time.sleep(self._beat_seconds / 4)
                now = self._owner()
                if now != owner:
                    raise self._refusal(now or owner)
        return owner, claims

    def _take_over(self, dead: Owner | None, given_up: frozenset[str]) -> bool:
        """Put this owner's file in a dead one's place; False where another is about to.

        Of several that want to, one alone can make the next claim that is not given up, and only
        who has it touches the file, which is there all the time.
        """
        numbered = (self._claim(dead, str(number)) for number in count())
        claim = next(claim for claim in numbered if claim.name not in given_up)
        try:
            os.close(os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
        except FileExistsError:
            return False
        try:
            if self._owner() != dead:
                return False
            self._show(self._me)
        finally:
            for made in (claim, *(self._path.with_name(name) for name in given_up)):
                made.unlink(missing_ok=True)
        return True

    def _claim(self, dead: Owner | None, number: str) -> Path:
        return self._path.with_name(f"{LOCK}.{dead.token if dead else 'nobody'}.{number}.claim")

    def _claims(self, dead: Owner | None) -> list[Path]:
        return list(self._path.parent.glob(self._claim(dead, "*").name))

    def _show(self, owner: Owner) -> None:
        """Put the file with this content in the place of the one that is there, in one step."""
        put_in_place(self._path, msgspec.json.encode(owner))

    def _beat(self) -> None:
        beat = 0
        while not self._released.wait(self._beat_seconds):
            owner = self._owner()
            if owner is None or owner.token != self._me.token:
                continue  # `check` tells it to the one who writes
            beat += 1
            with suppress(OSError):  # the share is away, and maybe back at the next beat
                self._show(msgspec.structs.replace(self._me, beat=beat))

    def _owner(self) -> Owner | None:
        return _owner_at(self._path)

    def _refusal(self, owner: Owner | None) -> HostError:
        name = owner or "another process"
        return HostError(
            f"the results folder {self._path.parent} is being written by {name}; wait for its end, "
            "or name another folder"
        )


def _owner_at(path: Path) -> Owner | None:
    try:
        return msgspec.json.decode(read_file(path, most_bytes=1 << 16), type=Owner)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def is_held(folder: Path) -> bool:
    """Whether a process writes to the folder; on a share, whether it has not said that it ended."""
    path = folder / LOCK
    if is_on_share(folder) or sys.platform == "win32":
        return path.exists()
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        _lock(descriptor)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _has_died(owner: Owner) -> bool:
    """Whether an owner on this PC is known to have died; its number may be another's by now."""
    if owner.host != platform.node() or sys.platform == "win32":
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _lock(descriptor: int) -> None:
    """Lock an open file, or raise OSError at once."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_file(descriptor: int, path: Path) -> bool:
    """Whether this open file is still the one at the path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
