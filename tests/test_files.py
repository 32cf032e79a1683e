"""Files beside the one that they become: nobody knows their names, and none is overwritten."""

import os
import re
import sys
from pathlib import Path

import pytest

from vexas_edge.errors import HostError
from vexas_edge.files import new_partial, put_in_place, remove_partials, write_atomically


def test_no_two_partial_files_have_one_name(tmp_path: Path) -> None:
    made = {new_partial(tmp_path / "a").name for _ in range(20)}
    assert len(made) == 20
    assert all(re.fullmatch(r"a\.[0-9a-f]{12}\.partial", name) for name in made)


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_a_partial_file_takes_no_place_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda n: "0" * 2 * n)
    target, place = tmp_path / "target", tmp_path / "a.000000000000.partial"
    if kind != "dangling link":
        target.write_bytes(b"another's")
    if kind == "file":
        place.write_bytes(b"another's")
    else:
        place.symlink_to(target)
    with pytest.raises(HostError, match="a cannot be written: File exists"):
        write_atomically(tmp_path / "a", b"ours")
    with pytest.raises(FileExistsError):
        put_in_place(tmp_path / "a", b"ours")
    assert not (tmp_path / "a").exists()
    assert place.is_symlink() == (kind != "file")
    assert target.exists() == (kind != "dangling link")
    assert not target.exists() or target.read_bytes() == b"another's"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such permissions there")
def test_a_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"")
    write_atomically(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "new").stat().st_mode


def test_what_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        put_in_place(tmp_path / "a", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_only_what_is_ours_and_old_is_removed(tmp_path: Path) -> None:
    old, fresh, others = (new_partial(tmp_path / name) for name in ("a", "a", "b"))
    (tmp_path / "a.partial").write_bytes(b"a user's")
    for path in (old, others, tmp_path / "a.partial"):
        os.utime(path, (0, 0))
    remove_partials(tmp_path, "a".__eq__)
    assert set(tmp_path.iterdir()) == {fresh, others, tmp_path / "a.partial"}
    remove_partials(tmp_path, "a".__eq__, unused_seconds=0.0)
    assert set(tmp_path.iterdir()) == {others, tmp_path / "a.partial"}
