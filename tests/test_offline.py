"""The audit of `offline.py` covers every command, and sees what it says that it sees."""

from pathlib import Path

import pytest
from offline import Watched, verdict
from offline_plan import CHAINS, CONTROLS
from syscalls import Deed, Kind, deed_from_line, deeds_of
from test_reference import COMMANDS

HERE = Path("/home/a")


def test_every_command_is_watched() -> None:
    assert {step.name for chain in CHAINS for step in chain} == set(COMMANDS)
    assert {control.name for control in CONTROLS} == {"onnxruntime", "openvino"}


@pytest.mark.parametrize(
    ("line", "kind", "what"),
    [
        (
            'openat(AT_FDCWD</home/a>, "a.txt", O_WRONLY|O_CREAT, 0666) = 3</home/a/a.txt>',
            "write",
            "/home/a/a.txt",
        ),
        (
            'openat(AT_FDCWD</home/a>, "/root/.x", O_RDWR|O_CREAT, 0666) = -1 EACCES (Permission)',
            "write",
            "/root/.x",
        ),
        ('mkdir("b", 0777) = 0', "write", "/home/a/b"),
        ('rename("/tmp/x", "y") = 0', "write", "/home/a/y"),
        ('renameat2(5</a>, "x", 6</b>, "y", 0) = 0', "write", "/b/y"),
        ('symlink("target", "/home/link") = 0', "write", "/home/link"),
        (
            'openat(AT_FDCWD</home/a>, "/etc/resolv.conf", O_RDONLY) = 3</etc/resolv.conf>',
            "lookup",
            "/etc/resolv.conf",
        ),
        (
            "socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_ROUTE) = 3<NETLINK:[1]>",
            "lookup",
            "AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_ROUTE",
        ),
        (
            "connect(3<socket:[1]>, {sa_family=AF_INET, sin_port=htons(53), x}, 16) = 0",
            "lookup",
            "3<socket:[1]>, {sa_family=AF_INET, sin_port=htons(53), x}, 16",
        ),
        (
            "connect(3<s>, {sa_family=AF_INET, sin_port=htons(443), x}, 16) = -1 ENETUNREACH (x)",
            "connection",
            "3<s>, {sa_family=AF_INET, sin_port=htons(443), x}, 16",
        ),
        (
            'sendto(3<s>, "x", 1, 0, {sa_family=AF_INET6, sin6_port=htons(80), x}, 28) = 1',
            "connection",
            '3<s>, "x", 1, 0, {sa_family=AF_INET6, sin6_port=htons(80), x}, 28',
        ),
    ],
)
def test_what_matters_is_seen(line: str, kind: Kind, what: str) -> None:
    deed = deed_from_line(line, HERE)
    assert deed == Deed(kind=kind, call=line.partition("(")[0], what=what)


@pytest.mark.parametrize(
    "line",
    [
        'openat(AT_FDCWD</home/a>, "a.txt", O_RDONLY|O_CLOEXEC) = 3</home/a/a.txt>',
        'openat(AT_FDCWD</home/a>, "a.txt", O_WRONLY) = -1 ENOENT (No such file or directory)',
        'mkdir("b", 0777) = -1 EEXIST (File exists)',
        "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3<TCP:[1]>",
        'connect(3<s>, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1 ENOENT (x)',
        'bind(3<s>, {sa_family=AF_INET6, inet_pton(AF_INET6, "::1", &sin6_addr)}, 28) = 0',
        "+++ exited with 0 +++",
    ],
)
def test_what_is_harmless_is_left_out(line: str) -> None:
    assert deed_from_line(line, HERE) is None


def test_a_childs_paths_begin_in_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "t.1").write_text('chdir("sub") = 0\nvfork() = 2\nmkdir("a", 0777) = 0\n')
    (tmp_path / "t.2").write_text('chdir("deeper") = 0\nclone3({flags=0}, 88) = 3\n')
    (tmp_path / "t.3").write_text('mkdir("b", 0777) = 0\n')
    found = {deed.what for deed in deeds_of(tmp_path / "t", HERE)}
    assert found == {"/home/a/sub/a", "/home/a/sub/deeper/b"}


def watched(name: str, *outside: str, lookups: int = 0) -> Watched:
    deed = Deed(kind="lookup", call="openat", what="/etc/hosts")
    return Watched(
        name=name,
        seconds=1,
        made=1,
        outside=list(outside),
        connections=[],
        lookups=[deed] * lookups,
    )


def test_a_file_a_lookup_or_a_blind_control_is_named() -> None:
    seen = watched("seen", "/home/x", lookups=1)
    assert verdict([watched("quiet")], [seen]) == []
    assert verdict([watched("left", "/home/x")], [seen]) == ["left is not silent"]
    assert verdict([watched("asked", lookups=1)], [seen]) == ["asked is not silent"]
    blind = "blind: {} was not seen to write and to look up a name"
    assert verdict([], [watched("none")]) == [blind.format("none")]
    assert verdict([], [watched("half", "/home/x")]) == [blind.format("half")]
