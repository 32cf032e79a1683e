"""Bundles: the same as folder and zip, checked before use, refused where they are unsafe."""

import errno
import os
import shutil
import stat
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import msgspec
import pytest
from tiny import bundle_content, folder_from_bundle, rewritten

from export.bundle_file import check_written, write_zip
from vexas_edge.bundle.archive import listed_files, open_bundle
from vexas_edge.bundle.manifest import json_from_manifest
from vexas_edge.errors import BundleError, HostError

HEAD = "models/neutrophil/head.onnx"


def refusal(path: Path) -> str:
    """What is said of a bundle whose every file is asked for; the path itself left out."""
    with pytest.raises(BundleError) as refused:
        open_bundle(path).check_all_files()
    assert "\n" not in str(refused.value)
    return str(refused.value).replace(str(path), "BUNDLE")


def repacked(bundle: Path, to: Path, *, compression: int = zipfile.ZIP_STORED) -> zipfile.ZipFile:
    """A new zip, still open, with everything that the bundle holds."""
    archive = zipfile.ZipFile(to, "w", compression)
    with zipfile.ZipFile(bundle) as old:
        for name in old.namelist():
            archive.writestr(name, old.read(name))
    return archive


def test_folder_and_zip_are_one_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    packed, folder = (
        open_bundle(tiny_bundle),
        open_bundle(folder_from_bundle(tiny_bundle, tmp_path)),
    )
    assert packed.sha256 == folder.sha256
    assert packed.manifest == folder.manifest
    assert packed.card() == folder.card()
    assert packed.model_file("monocyte", "head.onnx") == folder.model_file("monocyte", "head.onnx")
    folder.check_all_files()


def test_a_bundle_packed_again_by_another_tool_is_the_same(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    with repacked(tiny_bundle, tmp_path / "b.zip", compression=zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("empty")
    again = open_bundle(tmp_path / "b.zip")
    again.check_all_files()
    assert again.sha256 == open_bundle(tiny_bundle).sha256


def test_the_same_content_gives_the_same_bytes(tiny_bundle: Path, tmp_path: Path) -> None:
    manifest, contents = bundle_content(tiny_bundle)
    write_zip(manifest, contents, tmp_path / "a.vxb")
    write_zip(manifest, contents, tmp_path / "b.vxb")
    assert (tmp_path / "a.vxb").read_bytes() == (tmp_path / "b.vxb").read_bytes()
    assert open_bundle(tmp_path / "a.vxb").sha256 == open_bundle(tiny_bundle).sha256


def test_writing_leaves_nothing_but_the_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    manifest, contents = bundle_content(tiny_bundle)
    write_zip(manifest, contents, tmp_path / "a.vxb")
    with pytest.raises(ValueError, match="not those that the manifest lists"):
        write_zip(manifest, {**contents, "extra": b""}, tmp_path / "b.vxb")
    broken: dict[str, bytes] = {**contents, HEAD: None}  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        write_zip(manifest, broken, tmp_path / "a.vxb")
    assert [path.name for path in tmp_path.iterdir()] == ["a.vxb"]
    open_bundle(tmp_path / "a.vxb").check_all_files()


@pytest.fixture
def old(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle whose place a new one is to take."""
    return Path(shutil.copy(tiny_bundle, tmp_path / "b.vxb"))


def test_a_write_that_is_cut_short_leaves_the_old_bundle(
    tiny_bundle: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, contents = bundle_content(tiny_bundle)
    write, written = zipfile.ZipFile.writestr, []

    def until_full(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, content: bytes) -> None:
        written.append(entry.filename)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(archive, entry, content)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", until_full)
    renamed = msgspec.structs.replace(manifest, name="new")
    with pytest.raises(HostError, match=r"b\.vxb cannot be written: No space left on device"):
        write_zip(renamed, contents, old)
    assert len(written) == 3
    assert old.read_bytes() == tiny_bundle.read_bytes()
    assert [path.name for path in old.parent.iterdir()] == ["b.vxb"]


@pytest.mark.parametrize("place", [0.0005, 0.5, 0.9999])
def test_a_byte_that_flips_while_the_new_bundle_is_written_leaves_the_old_one(
    tiny_bundle: Path, old: Path, monkeypatch: pytest.MonkeyPatch, place: float
) -> None:
    manifest, contents = bundle_content(tiny_bundle)
    flipped = []

    def flip(_: int) -> None:
        (partial,) = old.parent.glob("b.vxb.*.partial")
        content = bytearray(partial.read_bytes())
        content[int(len(content) * place)] ^= 1
        partial.write_bytes(content)
        flipped.append(partial)

    monkeypatch.setattr(os, "fsync", flip)
    with pytest.raises(HostError, match="is as it was: the new one did not read back"):
        write_zip(msgspec.structs.replace(manifest, name="new"), contents, old)
    assert len(flipped) == 1
    assert old.read_bytes() == tiny_bundle.read_bytes()
    assert [path.name for path in old.parent.iterdir()] == ["b.vxb"]


def test_a_bundle_that_another_program_holds_for_a_moment_is_replaced_at_last(
    tiny_bundle: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, contents = bundle_content(tiny_bundle)
    replace, refusals = Path.replace, [PermissionError(13, "held"), PermissionError(13, "held")]

    def held(path: Path, target: Path) -> Path:
        if refusals:
            raise refusals.pop()
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", held)
    write_zip(msgspec.structs.replace(manifest, name="new"), contents, old)
    assert open_bundle(old).manifest.name == "new"


def test_a_new_bundle_whose_graph_breaks_its_contract_is_not_taken(
    tiny_bundle: Path, old: Path
) -> None:
    manifest, contents = bundle_content(tiny_bundle)
    model = manifest.models["monocyte"]
    wider = msgspec.structs.replace(model.images, canvas_px=32)
    model = msgspec.structs.replace(model, instances=wider)
    models = {**manifest.models, "monocyte": model}
    wrong = msgspec.structs.replace(manifest, models=models)
    with pytest.raises(HostError, match=r"fused\.fp32\.onnx should have cells \(None, 32, 32, 3\)"):
        write_zip(wrong, contents, old, check_written)
    assert old.read_bytes() == tiny_bundle.read_bytes()


def test_reading_a_zip_leaves_nothing_on_disk(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    beside = sorted(tiny_bundle.parent.rglob("*"))
    open_bundle(tiny_bundle).check_all_files()
    assert list(tmp_path.iterdir()) == []
    assert sorted(tiny_bundle.parent.rglob("*")) == beside


def test_the_manifest_lists_every_file_of_a_bundle(tiny_bundle: Path) -> None:
    with zipfile.ZipFile(tiny_bundle) as archive:
        names = set(archive.namelist())
    assert names == {"manifest.json", *listed_files(open_bundle(tiny_bundle).manifest)}
    assert "models/lymphocyte/golden.npz" in names


def test_a_flipped_byte_is_found_before_the_file_is_used(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = folder_from_bundle(tiny_bundle, tmp_path)
    content = bytearray((folder / HEAD).read_bytes())
    content[100] ^= 1
    (folder / HEAD).write_bytes(content)
    bundle = open_bundle(folder)
    bundle.model_file("monocyte", "head.onnx")
    with pytest.raises(BundleError, match=f"{HEAD} is not what the manifest says"):
        bundle.model_file("neutrophil", "head.onnx")


def test_a_flipped_byte_in_a_zip_is_found(tiny_bundle: Path, tmp_path: Path) -> None:
    content = bytearray(tiny_bundle.read_bytes())
    with zipfile.ZipFile(tiny_bundle) as archive:
        content[archive.getinfo(HEAD).header_offset + 1000] ^= 1
    (tmp_path / "b.vxb").write_bytes(content)
    assert refusal(tmp_path / "b.vxb").startswith(f"BUNDLE: {HEAD} cannot be read: Bad CRC-32")


def test_a_damaged_deflate_stream_is_found(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.vxb"
    repacked(tiny_bundle, path, compression=zipfile.ZIP_DEFLATED).close()
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(HEAD).header_offset + 30 + len(HEAD)
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)
    assert refusal(path).startswith(f"BUNDLE: {HEAD} cannot be read: Error -3")


def test_a_missing_graph_is_found_on_opening(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = folder_from_bundle(tiny_bundle, tmp_path)
    (folder / HEAD).unlink()
    with pytest.raises(BundleError, match=f"{HEAD} is missing from the bundle; copy it again"):
        open_bundle(folder)


def test_a_file_that_vanishes_later_is_found(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = open_bundle(folder_from_bundle(tiny_bundle, tmp_path))
    (tmp_path / HEAD).unlink()
    with pytest.raises(BundleError, match=f"{HEAD} cannot be read: No such file or directory"):
        bundle.model_file("neutrophil", "head.onnx")


def test_a_file_cut_short_is_found_on_opening(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = folder_from_bundle(tiny_bundle, tmp_path)
    size = (folder / HEAD).stat().st_size
    os.truncate(folder / HEAD, 100)
    with pytest.raises(BundleError, match=f"has 100 bytes, the manifest says {size}; copy"):
        open_bundle(folder)


def test_a_newer_schema_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    path = rewritten(tiny_bundle, tmp_path / "b.vxb", schema_version=99)
    assert refusal(path).startswith("the bundle has schema version 99; this vexas-edge reads")


def test_an_unknown_field_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = folder_from_bundle(tiny_bundle, tmp_path)
    text = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(text.replace(b"{", b'{"colour": "red",', 1))
    assert "unknown field `colour`" in refusal(folder)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "C:\\evil", "..\\evil"])
def test_a_path_out_of_the_zip_is_refused(tiny_bundle: Path, tmp_path: Path, name: str) -> None:
    with repacked(tiny_bundle, tmp_path / "b.vxb") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"evil")
    assert refusal(tmp_path / "b.vxb") == (
        f"BUNDLE: unsafe path {name!r} in the bundle; it was refused"
    )


def test_a_link_in_the_zip_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    with repacked(tiny_bundle, tmp_path / "b.vxb") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert refusal(tmp_path / "b.vxb") == "BUNDLE: 'link' is a link; bundles hold files only"


def test_a_name_twice_in_the_zip_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    with (
        repacked(tiny_bundle, tmp_path / "b.vxb") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("manifest.json", b"{}")
    assert (
        refusal(tmp_path / "b.vxb")
        == "BUNDLE holds one name twice; it was refused, so pack the bundle again"
    )


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "../outside"])
def test_a_link_out_of_the_folder_is_refused(
    tiny_bundle: Path, tmp_path: Path, target: str
) -> None:
    folder = folder_from_bundle(tiny_bundle, tmp_path / "b")
    (folder / "link").symlink_to(target)
    assert refusal(folder) == "BUNDLE: link is a link that leaves the bundle"


def test_a_link_to_itself_does_no_harm(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = folder_from_bundle(tiny_bundle, tmp_path)
    (folder / "loop").symlink_to("loop")
    open_bundle(folder).check_all_files()


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.vxb", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", bytes(300 << 20))
    tracemalloc.start()
    said = refusal(tmp_path / "b.vxb")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert said == f"BUNDLE: manifest.json is larger than the {8 << 20} bytes it may have"
    assert peak < 64 << 20


def test_a_file_larger_than_listed_is_not_read(tiny_bundle: Path, tmp_path: Path) -> None:
    manifest, contents = bundle_content(tiny_bundle)
    with zipfile.ZipFile(tmp_path / "b.vxb", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json_from_manifest(manifest))
        for name, content in {**contents, HEAD: bytes(100 << 20)}.items():
            archive.writestr(name, content)
    said = refusal(tmp_path / "b.vxb")
    assert said.startswith(f"BUNDLE: {HEAD} has {100 << 20} bytes, the manifest says")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04K\x01.", b"x" * 1000])
def test_what_is_no_zip_is_no_bundle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.vxb").write_bytes(content)
    assert refusal(tmp_path / "b.vxb") == (
        "BUNDLE is not a bundle (no readable zip: File is not a zip file); "
        "expected a .vxb file or its folder"
    )


def test_an_encrypted_zip_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    content = bytearray(tiny_bundle.read_bytes())
    with zipfile.ZipFile(tiny_bundle) as archive:
        content[6] |= 1  # the flags of the first file, manifest.json, which stand twice
        content[archive.start_dir + 8] |= 1
    (tmp_path / "b.vxb").write_bytes(content)
    assert refusal(tmp_path / "b.vxb").startswith(
        "BUNDLE: manifest.json cannot be read: File 'manifest.json' is encrypted"
    )


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "BUNDLE is not a bundle: it holds no manifest.json"


def test_nothing_is_no_bundle(tmp_path: Path) -> None:
    said = refusal(tmp_path / "b.vxb")
    assert said == "no bundle at BUNDLE; expected a .vxb file or its folder"


def test_a_model_has_only_the_files_that_are_listed(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"model 'neutrophil' has no fused\.int8\.onnx$"):
        open_bundle(tiny_bundle).model_file("neutrophil", "fused.int8.onnx")


def test_files_that_a_system_leaves_behind_do_not_matter(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = folder_from_bundle(tiny_bundle, tmp_path)
    (folder / "Thumbs.db").write_bytes(b"x")
    assert open_bundle(folder).sha256 == open_bundle(tiny_bundle).sha256


def test_every_change_of_content_changes_the_bundles_hash(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    other = rewritten(tiny_bundle, tmp_path / "b.vxb", {"card.md": b"another card"})
    assert open_bundle(other).sha256 != open_bundle(tiny_bundle).sha256
    assert open_bundle(other).card() == "another card"
    assert msgspec.structs.asdict(open_bundle(other).manifest)["name"] == "tiny"


def test_a_bundle_that_contradicts_itself_is_not_written(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    wrong = msgspec.structs.replace(bundle.manifest, lead="basophil")
    with pytest.raises(BundleError, match=r"new\.vxb was not written: .*'basophil' is not in"):
        write_zip(wrong, {}, tmp_path / "new.vxb")
    assert not (tmp_path / "new.vxb").exists()
