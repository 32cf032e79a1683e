"""The host's cache: an entry is whole, checked and found under its whole key, or it is a miss."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vexas_edge.errors import HostError
from vexas_edge.host import cache
from vexas_edge.host.cache import COMPILED, cache_folder, clear, find, store

KEY = {"bundle": "b", "threads": 2, "versions": {"openvino": "1", "onnxruntime": "3"}}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_stored_is_found() -> None:
    store("plan", KEY, b"content\nof lines")
    assert find("plan", KEY, "bundle").content == b"content\nof lines"


def test_a_first_look_says_that_nothing_was_done() -> None:
    found = find("plan", KEY, "bundle")
    assert (found.content, found.missed) == (None, "never done on this PC")


def test_a_miss_names_what_changed() -> None:
    store("plan", KEY, b"content")
    changed = {**KEY, "versions": {"openvino": "2", "onnxruntime": "3", "tensorrt": "11"}}
    found = find("plan", changed, "bundle")
    assert found.content is None
    assert found.missed == "done on this PC with openvino 1, now 2, tensorrt absent, now 11"


def test_a_miss_is_explained_by_the_closest_entry() -> None:
    store("plan", {**KEY, "threads": 7, "versions": {}}, b"far")
    store("plan", {**KEY, "threads": 1}, b"close")
    store("plan", {**KEY, "bundle": "another", "threads": 2}, b"other")
    assert find("plan", KEY, "bundle").missed == "done on this PC with threads 1, now 2"


def test_another_kind_of_entry_is_no_hit() -> None:
    store("plan", KEY, b"content")
    assert find("prepared", KEY, "bundle").missed == "never done on this PC"


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"no header", b'{"a": 1}\nx', b"[]\n"])
def test_a_damaged_entry_is_a_miss_that_says_so(damage: bytes) -> None:
    path = store("plan", KEY, b"content")
    path.write_bytes(damage)
    found = find("plan", KEY, "bundle")
    assert found.content is None
    assert found.missed.startswith("the cache entry is damaged (")
    store("plan", KEY, b"content")
    assert find("plan", KEY, "bundle").content == b"content"


def test_one_changed_byte_is_a_miss() -> None:
    path = store("plan", KEY, b"content")
    path.write_bytes(path.read_bytes()[:-1] + b"T")
    assert "its content does not match its hash" in find("plan", KEY, "bundle").missed


def test_an_entry_renamed_to_another_keys_is_a_miss() -> None:
    other = store("plan", {**KEY, "threads": 9}, b"wrong engine")
    other.replace(store("plan", KEY, b"content"))
    found = find("plan", KEY, "bundle")
    assert found.content is None
    assert "belongs to another key" in found.missed


def test_clearing_removes_whole_and_half_written_entries(own_cache: Path) -> None:
    store("plan", KEY, b"content")
    (own_cache / "plan-0.entry.123.partial").write_bytes(b"ha")
    (own_cache / "notes.txt").write_text("not ours")
    (own_cache / COMPILED).mkdir()
    (own_cache / COMPILED / "kernels.blob").write_bytes(b"of a library")
    assert clear() == 3
    assert sorted(path.name for path in own_cache.iterdir()) == [COMPILED, "notes.txt"]
    assert clear() == 0


def test_what_a_run_that_was_cut_off_left_is_removed_but_not_what_another_is_writing(
    own_cache: Path,
) -> None:
    old, new, other = (
        own_cache / f"{name}.0123456789ab.partial"
        for name in ("plan-0.entry", "plan-1.entry", "notes.txt")
    )
    own_cache.mkdir(exist_ok=True)
    for path in (old, new, other):
        path.write_bytes(b"ha")
    for path in (old, other):
        os.utime(path, (0, 0))
    entry = store("plan", KEY, b"content")
    assert set(own_cache.iterdir()) == {entry, new, other}


def test_a_folder_that_cannot_be_made_is_named(own_cache: Path) -> None:
    own_cache.write_text("a file where the folder would be")
    with pytest.raises(HostError, match="set VEXAS_EDGE_CACHE to a folder"):
        store("plan", KEY, b"content")


def test_the_cache_lies_in_the_users_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.FOLDER_VARIABLE)
    assert cache_folder().name == "vexas-edge"
    assert Path.home() in cache_folder().parents


STORING = """
import sys
from vexas_edge.host.cache import store
for turn in range(300):
    store("plan", {"bundle": "b"}, (sys.argv[1] * 100_000).encode())
    if turn == 5:
        print("storing", flush=True)
"""


def _storing(letter: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", STORING, letter]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ))


def test_two_processes_that_store_at_once_leave_one_whole_entry() -> None:
    processes = [_storing("a"), _storing("b")]
    for process in processes:
        assert b"storing" in next(iter(process.stdout or ()))
    for _ in range(50):
        assert find("plan", {"bundle": "b"}, "bundle").content in (b"a" * 100_000, b"b" * 100_000)
    assert [process.wait() for process in processes] == [0, 0]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_process_that_is_killed_while_storing_leaves_a_whole_entry(own_cache: Path) -> None:
    process = _storing("a")
    assert b"storing" in next(iter(process.stdout or ()))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert find("plan", {"bundle": "b"}, "bundle").content == b"a" * 100_000
    clear()
    assert list(own_cache.iterdir()) == []
