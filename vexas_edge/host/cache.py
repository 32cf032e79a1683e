"""The cache of what was measured or built on this PC, kept for the next run.

An entry is one file: a line of JSON with its kind, its key and the SHA-256 of the content, then the
content. The key states everything that the content depends on. The file's name is the hash of kind
and key, so an entry is found only where every part of the key is the same.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from platformdirs import user_cache_path

from vexas_edge.errors import HostError
from vexas_edge.files import remove_partials, write_atomically
from vexas_edge.inputs import open_file

FOLDER_VARIABLE = "VEXAS_EDGE_CACHE"
_SUFFIX = ".entry"
_LONGEST_HEADER = 1 << 16
# The folder in it for what a library compiles and keeps by itself.
COMPILED = "compiled"

Key = Mapping[str, Any]
_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The outcome of looking for an entry.

    content: the content of the entry; None if there is no valid one.
    missed: why there is none, in words.
    outdated: whether there was an entry that is no longer valid.
    """

    content: bytes | None
    missed: str = ""
    outdated: bool = False


def cache_folder() -> Path:
    """Where this PC's cache lies: $VEXAS_EDGE_CACHE, or the user's own cache folder.

    A user without a home has none, and so nothing is ever found in it.
    """
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    nowhere = Path(os.devnull, "vexas-edge")
    try:
        own = user_cache_path("vexas-edge", appauthor=False)
    except RuntimeError:  # there is neither $HOME nor an entry of the user
        return nowhere
    return own if own.is_absolute() else nowhere  # older ones leave the path's "~" as it is


def store(kind: str, key: Key, content: bytes) -> Path:
    """Keep the content, replacing any entry of the same key in one step.

    Raises:
        HostError: the folder cannot be written.
    """
    header = {"kind": kind, "key": key, "sha256": hashlib.sha256(content).hexdigest()}
    path = _path(kind, key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"the cache folder {path.parent} cannot be created ({error.strerror}); "
            f"set {FOLDER_VARIABLE} to a folder that you may write to"
        ) from error
    remove_partials(path.parent, lambda name: name.endswith(_SUFFIX))
    write_atomically(path, _line(header) + content)  # several processes may store at once
    return path


def find(kind: str, key: Key, same: str) -> Found:
    """The content that was stored under the key.

    Args:
        same: the part of the key that says what the entry is about. On a miss, the reason given is
            how the key differs from that of an entry that agrees in this part.
    """
    path = _path(kind, key)
    try:
        header, content = _read(path)
    except (FileNotFoundError, NotADirectoryError):
        return _missed(kind, key, same)
    except (OSError, ValueError) as error:
        missed = f"the cache entry is damaged ({error})"
        return Found(content=None, missed=missed, outdated=True)
    if header.key != json.loads(_line(key)) or header.kind != kind:
        missed = "the cache entry belongs to another key"
        return Found(content=None, missed=missed, outdated=True)
    return Found(content=content)


def find_value(kind: str, key: Key, same: str, type_: type[_Value]) -> tuple[_Value | None, Found]:
    """The value that was stored under the key as JSON, if it is of this type, and how it was found.

    Whatever else lies there is as if there were nothing.
    """
    found = find(kind, key, same)
    if found.content is None:
        return None, found
    try:
        return msgspec.json.decode(found.content, type=type_), found
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        missed = f"the cache entry is damaged ({error})"
        return None, Found(content=None, missed=missed, outdated=True)


def clear() -> int:
    """Empty the cache and return the number of files that were removed.

    Raises:
        HostError: a file cannot be removed.
    """
    n_removed = 0
    for path in sorted(
        (*_files(f"*{_SUFFIX}*"), *_files(f"{COMPILED}/*"))
    ):  # half-written ones too
        try:
            path.unlink()
            n_removed += 1
        except FileNotFoundError:  # another process was faster
            pass
        except OSError as error:
            raise HostError(f"{path} cannot be removed: {error.strerror}") from error
    return n_removed


def _files(pattern: str) -> list[Path]:
    try:
        return list(cache_folder().glob(pattern))
    except OSError:
        return []


def _path(kind: str, key: Key) -> Path:
    name = hashlib.sha256(_line({"kind": kind, "key": key})).hexdigest()[:32]
    return cache_folder() / f"{kind}-{name}{_SUFFIX}"


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"


def _read(path: Path) -> tuple["_Header", bytes]:
    """An entry's header and content.

    Raises:
        ValueError: the entry is not complete, or was changed.
    """
    with open_file(path) as stream:
        header = _header(stream.readline(_LONGEST_HEADER + 1).removesuffix(b"\n"))
        content = stream.read()
    if hashlib.sha256(content).hexdigest() != header.sha256:
        raise ValueError("its content does not match its hash")
    return header, content


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    key: dict[str, Any]
    sha256: str


def _header(line: bytes) -> _Header:
    try:
        return msgspec.json.decode(line, type=_Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("its first line is not a header") from error


def _missed(kind: str, key: Key, same: str) -> Found:
    wanted = json.loads(_line(key))
    others = [header for header in _headers(kind) if header.key.get(same) == wanted[same]]
    if not others:
        return Found(content=None, missed="never done on this PC")
    closest = min((_differences(other.key, wanted) for other in others), key=len)
    missed = "done on this PC with " + ", ".join(closest)
    return Found(content=None, missed=missed, outdated=True)


def _headers(kind: str) -> Iterator[_Header]:
    """The header of each entry of a kind; the contents, which may be large, are not read."""
    for path in _files(f"{kind}-*{_SUFFIX}"):
        with suppress(OSError, ValueError), open_file(path) as stream:
            yield _header(stream.readline(_LONGEST_HEADER))


def _differences(old: Key, new: Key) -> list[str]:
    """What differs between two keys, as in "openvino 2026.4.1, now 2026.5.0"."""
    found = []
    for name in sorted(old.keys() | new.keys()):
        before, now = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            found += _differences(before, now)
        elif before != now:
            found.append(f"{name} {before or 'absent'}, now {now or 'absent'}")
    return found
