"""What a process and all that it started have written, asked for and connected to, from strace.

Python's own audit hooks do not see what C++ does.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

_OPENING = ("open", "openat", "openat2", "creat")
_MAKING = (
    *("mkdir", "mkdirat", "mknod", "mknodat", "truncate", "rename", "renameat", "renameat2"),
    *("link", "linkat", "symlink", "symlinkat"),
)
_STARTING = ("clone", "clone3", "fork", "vfork")
_MOVING = ("chdir", "fchdir")
_TALKING = ("socket", "connect", "bind", "sendto", "sendmsg", "sendmmsg", "io_uring_setup")
TRACED = (*_OPENING, *_MAKING, *_STARTING, *_MOVING, *_TALKING)

# The files that the C library reads before it looks up a host's name, and only then.
_NAMES = ("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf")
# The C library asks this daemon for the names of users, too; that alone is no lookup of a host.
_USERS = "nscd/socket"

_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?)(?:<(.*)>)?")
_STRING = re.compile(r'(?:<([^<>"]*)>, )?"((?:[^"\\]|\\.)*)"')

Kind = Literal["write", "connection", "lookup"]


@dataclass(frozen=True, kw_only=True)
class Deed:
    """One call that matters. what: a path, or an address with the call's other arguments."""

    kind: Kind
    call: str
    what: str


def strace_command(to: Path, command: Sequence[str]) -> list[str]:
    """The command under strace, which writes a file for each process: `to`, a dot, its number."""
    asked = ["--seccomp-bpf", "-ff", "-y", "-qq", "-e", f"trace={','.join(TRACED)}"]
    return ["strace", *asked, "-e", "signal=none", "-o", str(to), "--", *command]


def deeds_of(traces: Path, folder: Path) -> Iterator[Deed]:
    """The deeds in all files of `strace_command(traces, ...)`, which was started in the folder."""
    files = {path.suffix: path for path in traces.parent.glob(f"{traces.name}.*")}
    lines = {number: path.read_text(errors="replace").split("\n") for number, path in files.items()}
    children = {child for found in lines.values() for child in map(_started, found) if child}
    waiting = [(number, folder) for number in sorted(lines) if number not in children]
    done: set[str] = set()
    while waiting:
        number, place = waiting.pop()
        if number in done:
            continue
        done.add(number)
        for line in lines.get(number, ()):
            if child := _started(line):
                waiting.append((child, place))
            place = _moved(line, place)
            deed = deed_from_line(line, place)
            if deed:
                yield deed


def deed_from_line(line: str, folder: Path) -> Deed | None:
    """What a line of strace tells; None if it does not matter, or did not succeed in writing.

    Args:
        folder: the current folder of the process.
    """
    found = _CALL.match(line)
    if not found:
        return None
    call, arguments, result, place = found.groups()
    if call in _TALKING:
        return _talk(call, arguments)
    if call in _OPENING:
        path = place or _path(arguments, folder)
        if path in _NAMES:
            return Deed(kind="lookup", call=call, what=path)
        writes = call == "creat" or re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)", arguments)
        refused = result == "-1" and "O_CREAT" not in arguments
        return Deed(kind="write", call=call, what=path) if writes and not refused else None
    if call in _MAKING and result == "0":
        return Deed(kind="write", call=call, what=_path(arguments, folder))
    return None


def _talk(call: str, arguments: str) -> Deed | None:
    """A socket alone is harmless, but for that by which a lookup asks for this PC's addresses."""
    if call == "socket":
        is_lookup = arguments.startswith("AF_NETLINK")
        return Deed(kind="lookup", call=call, what=arguments) if is_lookup else None
    if call == "io_uring_setup":
        return Deed(kind="connection", call=call, what="could do what strace does not see")
    if re.search(r"sin6?_port=htons\(53\)|AF_UNIX.*resolve", arguments):
        return Deed(kind="lookup", call=call, what=arguments)
    if "sa_family=" not in arguments or _USERS in arguments:
        return None
    if call == "bind" and re.search(r'"(::1|127\.0\.0\.1)"', arguments):
        return None  # pip asks like this whether the PC has IPv6; nothing can come in from outside
    return Deed(kind="connection", call=call, what=arguments)


def _started(line: str) -> str | None:
    """The suffix of the file of the process, or thread, that the line started."""
    found = _CALL.match(line)
    if found and found[1] in _STARTING and int(found[3].replace("?", "0")) > 0:
        return f".{found[3]}"
    return None


def _moved(line: str, folder: Path) -> Path:
    found = _CALL.match(line)
    if not found or found[1] not in _MOVING or found[3] != "0":
        return folder
    if found[1] == "fchdir":
        return Path(found[2].partition("<")[2].rstrip(">"))
    return Path(_path(found[2], folder))


def _path(arguments: str, folder: Path) -> str:
    """The last path among a call's arguments, absolute: the one that is made, where two are named.

    Beside it stands the folder that it is relative to, if the call was given one.
    """
    paths = _STRING.findall(arguments)
    if not paths:
        return arguments
    beside, path = paths[-1]
    return str(PurePosixPath(beside or folder, path))
