"""Folders and zips as one listing, and what is refused of them."""

import errno
import os
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vexas_edge.errors import CellError, InputError
from vexas_edge.smear import sources
from vexas_edge.smear.sources import open_source
from vexas_edge.smear.walk import walk_folder

NAMES = ("a b/SNE_000001.jpg", "Lymphocyte, variant/\u00e9\u4e2d'(1).png", "Thumbs.db")


def folder_of_files(root: Path) -> Path:
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def zip_of_files(path: Path, names: tuple[str, ...] = NAMES) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in names:
            packed.writestr(zipfile.ZipInfo(name), name.encode())
    return path


def test_a_folder_and_its_zip_give_the_same_files_and_bytes(tmp_path: Path) -> None:
    folder = open_source(folder_of_files(tmp_path / "case"))
    packed = open_source(zip_of_files(tmp_path / "case.zip"))
    assert folder.files == packed.files == {name: len(name.encode()) for name in NAMES}
    for name in NAMES:
        assert folder.read(name) == packed.read(name) == name.encode()


def test_a_zip_may_hold_names_that_a_windows_disk_cannot(tmp_path: Path) -> None:
    source = open_source(zip_of_files(tmp_path / "c.zip", ('LY_1 "q" a:b?.jpg',)))
    assert source.read('LY_1 "q" a:b?.jpg') == b'LY_1 "q" a:b?.jpg'


def test_a_zip_is_read_by_many_threads(tmp_path: Path) -> None:
    names = tuple(f"SNE_{i:06d}.jpg" for i in range(200))
    source = open_source(zip_of_files(tmp_path / "case.zip", names))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.read, names)) == [name.encode() for name in names]


def test_backslashes_in_a_zip_are_folders(tmp_path: Path) -> None:
    source = open_source(zip_of_files(tmp_path / "c.zip", ("Signed slides\\BA\\BA_000001.jpg",)))
    assert list(source.files) == ["Signed slides/BA/BA_000001.jpg"]
    assert source.read("Signed slides/BA/BA_000001.jpg") == b"Signed slides\\BA\\BA_000001.jpg"


@pytest.mark.parametrize(
    "name", ["../SNE_1.jpg", "a/../../b.jpg", "/etc/x.jpg", "C:\\x.jpg", "c:x.jpg", "..\\x.jpg", ""]
)
def test_a_zip_with_a_path_out_of_it_is_refused_whole(tmp_path: Path, name: str) -> None:
    path = zip_of_files(tmp_path / "evil.zip", ("SNE_000001.jpg", name))
    with pytest.raises(InputError, match=r"evil\.zip holds .* which is not a path inside the zip"):
        open_source(path)


def test_a_zip_with_a_link_is_refused_whole(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("SNE_000001.jpg")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match=r"holds the link 'SNE_000001\.jpg'"):
        open_source(tmp_path / "c.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_holds_a_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="twice"):
        open_source(zip_of_files(tmp_path / "c.zip", ("a/SNE_1.jpg", "a//SNE_1.jpg")))


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = zip_of_files(tmp_path / "c.zip", ("SNE_000001.jpg",))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is encrypted"):
        open_source(path)


def test_a_zip_with_another_compression_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_BZIP2) as packed:
        packed.writestr("SNE_000001.jpg", b"x" * 100)
    with pytest.raises(InputError, match="other than deflate"):
        open_source(tmp_path / "c.zip")


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    path = zip_of_files(tmp_path / "c.zip")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="not a readable zip"):
        open_source(path)


def test_a_file_that_is_damaged_inside_a_zip_is_one_bad_cell(tmp_path: Path) -> None:
    path = tmp_path / "c.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("SNE_000001.jpg", b"x" * 100)
        packed.writestr("SNE_000002.jpg", b"y" * 100)
    path.write_bytes(path.read_bytes().replace(b"x" * 100, b"x" * 99 + b"z"))
    source = open_source(path)
    with pytest.raises(CellError) as bad:
        source.read("SNE_000001.jpg")
    assert bad.value.reason == "cannot_read"
    assert source.read("SNE_000002.jpg") == b"y" * 100


def test_a_file_that_is_no_zip_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "SNE_000001.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(InputError, match=r"not a readable zip .*; expected the folder or \.zip"):
        open_source(tmp_path / "SNE_000001.jpg")


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere was not found"):
        open_source(tmp_path / "nowhere")


def test_a_listing_stops_at_its_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_FILES", 2)
    for path in (folder_of_files(tmp_path / "case"), zip_of_files(tmp_path / "case.zip")):
        with pytest.raises(InputError, match="holds more than 2 files"):
            open_source(path)


@pytest.mark.parametrize("packed", [False, True])
def test_no_more_than_the_cap_is_read_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    path = zip_of_files(tmp_path / "c.zip") if packed else folder_of_files(tmp_path / "case")
    source = open_source(path)
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 8)
    with pytest.raises(CellError) as bad:
        source.read("Thumbs.db")
    assert bad.value.reason == "file_too_large"


def test_a_file_that_is_gone_says_nothing_about_its_cell(tmp_path: Path) -> None:
    source = open_source(folder_of_files(tmp_path / "case"))
    (tmp_path / "case" / "Thumbs.db").unlink()
    with pytest.raises(
        InputError, match=r"Thumbs\.db cannot be read as it was listed \(No such"
    ) as gone:
        source.read("Thumbs.db")
    assert not isinstance(gone.value, CellError)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOMEM])
@pytest.mark.parametrize("packed", [False, True])
def test_a_disk_or_network_that_fails_says_nothing_about_the_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, packed: bool
) -> None:
    path = zip_of_files(tmp_path / "c.zip") if packed else folder_of_files(tmp_path / "case")
    source = open_source(path)

    def read(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(sources, "_bounded", read)
    with pytest.raises(InputError, match="the case is not scored on the rest") as failed:
        source.read("Thumbs.db")
    assert os.strerror(number) in str(failed.value)
    assert not isinstance(failed.value, CellError)


def test_a_path_that_was_not_listed_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    for path in (folder_of_files(tmp_path / "case"), zip_of_files(tmp_path / "case.zip")):
        with pytest.raises(CellError, match="not among the files"):
            open_source(path).read("../secret.jpg")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_are_refused_with_a_reason_unless_they_are_files_of_the_case(tmp_path: Path) -> None:
    root = folder_of_files(tmp_path / "case")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "SNE_000009.jpg").write_bytes(b"x")
    (root / "inside.jpg").symlink_to(root / "Thumbs.db")
    (root / "out.jpg").symlink_to(tmp_path / "outside" / "SNE_000009.jpg")
    (root / "out").symlink_to(tmp_path / "outside", target_is_directory=True)
    (root / "loop").symlink_to(root, target_is_directory=True)
    (root / "self").symlink_to(root / "self")
    (root / "gone.jpg").symlink_to(root / "nothing.jpg")
    source = open_source(root)
    assert set(source.files) == {*NAMES, "inside.jpg"}
    assert source.refused == {
        "out.jpg": "link_leaves_case",
        "out": "link_leaves_case",
        "loop": "link_to_folder",
        "self": "broken_link",
        "gone.jpg": "broken_link",
    }


@pytest.mark.skipif(os.name == "nt", reason="no pipes in folders there")
def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "SNE_000001.jpg")
    assert open_source(tmp_path).refused == {"SNE_000001.jpg": "not_a_file"}


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/SNE_\xff.jpg"))).write_bytes(b"x")
    assert open_source(tmp_path).refused == {"SNE_\ufffd.jpg": "name_not_unicode"}


def test_walking_gives_every_file_once(tmp_path: Path) -> None:
    walked = [file.path for file in walk_folder(folder_of_files(tmp_path))]
    assert sorted(walked) == sorted(NAMES)
