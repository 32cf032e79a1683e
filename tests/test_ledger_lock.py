"""One writer for a results folder."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tiny import there

from vexas_edge.errors import HostError
from vexas_edge.host import shares
from vexas_edge.host.shares import is_on_share
from vexas_edge.ledger.lock import LOCK, FolderLock, TakenOverError

BEAT = 0.05
HOLDING = """
import sys, time
from pathlib import Path
from vexas_edge.ledger.lock import FolderLock
with FolderLock(Path(sys.argv[1]), on_share=sys.argv[2] == "share", beat_seconds=0.05):
    print("taken", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["disk", "share"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def owner(tmp_path: Path, kind: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process that has the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, tmp_path, kind], stdout=subprocess.PIPE, text=True
    )
    assert there(process.stdout).readline() == "taken\n"
    yield process
    process.kill()
    process.wait()


def take(folder: Path, kind: str) -> FolderLock:
    return FolderLock(folder, on_share=kind == "share", beat_seconds=BEAT)


def test_a_living_owner_is_refused_with_its_name(
    tmp_path: Path, kind: str, owner: "subprocess.Popen[str]"
) -> None:
    with pytest.raises(HostError) as refused:
        take(tmp_path, kind)
    assert f"is being written by process {owner.pid} on {platform.node()}" in str(refused.value)


def test_a_dead_owner_is_taken_over(
    tmp_path: Path, kind: str, owner: "subprocess.Popen[str]"
) -> None:
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with take(tmp_path, kind) as taken:
        assert getattr(taken.cut_off, "pid", None) == owner.pid


def test_a_folder_that_was_given_back_was_not_cut_off(tmp_path: Path, kind: str) -> None:
    with take(tmp_path, kind):
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()
    with take(tmp_path, kind) as taken:
        assert taken.cut_off is None


def test_of_many_that_want_a_dead_owners_folder_one_gets_it(tmp_path: Path, kind: str) -> None:
    with take(tmp_path, kind):
        content = (tmp_path / LOCK).read_bytes()
    dead = content.replace(f'"host":"{platform.node()}"'.encode(), b'"host":"elsewhere"')
    (tmp_path / LOCK).write_bytes(dead)
    taken: list[FolderLock] = []
    refused: list[HostError] = []

    def want() -> None:
        try:
            taken.append(take(tmp_path, kind))
        except HostError as error:
            refused.append(error)

    wanting = [threading.Thread(target=want) for _ in range(6)]
    for thread in wanting:
        thread.start()
    for thread in wanting:
        thread.join()
    assert (len(taken), len(refused)) == (1, 5)
    taken[0].release()


@pytest.mark.usefixtures("owner")
@pytest.mark.parametrize("kind", ["share"], indirect=True)
def test_an_owner_on_a_share_whose_clock_is_wrong_is_known_by_its_beats(
    tmp_path: Path, kind: str
) -> None:
    os.utime(tmp_path / LOCK, (0, 0))
    with pytest.raises(HostError, match="is being written by"):
        take(tmp_path, kind)


def test_an_owner_that_slept_too_long_on_a_share_finds_out(tmp_path: Path) -> None:
    slept = take(tmp_path, "share")
    slept.release()  # its beats end
    slept = FolderLock(tmp_path, on_share=True, beat_seconds=600)
    other = (tmp_path / LOCK).read_bytes().replace(b'"token":"', b'"token":"x')
    (tmp_path / LOCK).write_bytes(other)
    with pytest.raises(TakenOverError, match="was taken over by process"):
        slept.check()
    slept.release()
    assert (tmp_path / LOCK).read_bytes() == other


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's list of mounts")
def test_a_share_is_known_by_its_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = f"/dev/sda / ext4 rw 0 0\n//server/x {tmp_path}/a\\040b cifs rw 0 0\n"
    (tmp_path / "mounts").write_text(mounts)
    monkeypatch.setattr(shares, "_MOUNTS", tmp_path / "mounts")
    assert is_on_share(tmp_path / "a b" / "results")
    assert not is_on_share(tmp_path / "a")


def test_waiting_whether_an_owner_lives_is_said(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(
        b'{"host":"elsewhere","pid":7,"started":"today","token":"t","beat":3}'
    )
    said: list[str] = []
    began = time.monotonic()
    with FolderLock(tmp_path, on_share=True, beat_seconds=BEAT, say=said.append) as taken:
        assert time.monotonic() - began >= 4 * BEAT
        assert getattr(taken.cut_off, "host", "") == "elsewhere"
    assert said == [
        f"{tmp_path} was last written by process 7 on elsewhere, which began at today; waiting "
        "whether it lives"
    ]


def test_a_claim_of_one_that_died_while_taking_over_is_passed_by(tmp_path: Path) -> None:
    with take(tmp_path, "share"):
        content = (tmp_path / LOCK).read_bytes()
    (tmp_path / LOCK).write_bytes(content.replace(b'"host":"', b'"host":"not '))
    token = msgspec.json.decode(content)["token"]
    (tmp_path / f"{LOCK}.{token}.0.claim").touch()
    with take(tmp_path, "share") as taken:
        assert there(taken.cut_off).host.startswith("not ")
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_another_makes_meanwhile_is_obeyed(tmp_path: Path) -> None:
    with take(tmp_path, "share"):
        content = (tmp_path / LOCK).read_bytes()
    (tmp_path / LOCK).write_bytes(content.replace(b'"host":"', b'"host":"not '))
    lock = FolderLock.__new__(FolderLock)
    lock._path = tmp_path / LOCK
    dead = there(lock._owner())
    lock._claim(dead, "0").touch()
    assert not lock._take_over(dead, frozenset())
    assert lock._owner() == dead
