"""Opening bundles, as a directory or as one zip; they are checked before use."""

import hashlib
import os
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vexas_edge.bundle.manifest import CARD, Manifest, manifest_from_json
from vexas_edge.bundle.models import FileEntry
from vexas_edge.bundle.operators import check_operators
from vexas_edge.errors import BundleError, UsageError
from vexas_edge.inputs import ZIP_DAMAGE, open_file, open_zip

MANIFEST = "manifest.json"

# The manifest of a hundred models is under 1 MiB, so anything much larger is not a manifest.
LARGEST_MANIFEST_BYTES, LARGEST_CARD_BYTES = 8 << 20, 1 << 20

# A bundle of a hundred models has fewer.
_MOST_FILES = 10_000


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An opened bundle. Files are read, and checked against their hash, when they are asked for.

    sha256: the hash of manifest.json, which holds the hashes of all other files; it is the same for
    a directory and its zip.
    """

    path: Path
    manifest: Manifest
    sha256: str
    _read: Callable[[str, int], bytes]

    def model_file(self, model: str, name: str) -> bytes:
        """The content of models/<model>/<name>; a graph's operators have been checked.

        Raises:
            BundleError: the bundle has no such file, its content is not what was hashed, or it is a
                graph that does what no graph of a bundle may.
        """
        files = self.manifest.networks[model].files
        if name not in files:
            raise BundleError(f"{self.path}: model {model!r} has no {name}")
        content = self._checked(f"models/{model}/{name}", files[name])
        if name.endswith(".onnx"):
            try:
                check_operators(content)
            except ValueError as error:
                raise BundleError(
                    f"{self.path}: {name} of model {model!r} cannot be used: {error}; ask who made "
                    "the bundle to export it again"
                ) from error
        return content

    def card(self) -> str:
        """The model card, as Markdown, with U+FFFD for what is not UTF-8.

        Raises:
            BundleError: it is not what was hashed, or is longer than any card.
        """
        if self.manifest.files[CARD].bytes > LARGEST_CARD_BYTES:
            raise BundleError(
                f"{self.path}: {CARD} is larger than the {LARGEST_CARD_BYTES} bytes it may have"
            )
        return self._checked(CARD, self.manifest.files[CARD]).decode(errors="replace")

    def check_scores_patients(self, command: str) -> None:
        """Check that there is a model of patients, which the command is about.

        Raises:
            UsageError: there are none but models that name cells.
        """
        if not self.manifest.models:
            raise UsageError(
                f"{self.path} only names cells and scores no patients, so {command} has nothing "
                "to do with it"
            )

    def check_takes_images(self, command: str) -> None:
        """Check that the models' cells are images, which the command is about.

        Raises:
            UsageError: they are rows of tables.
        """
        if self.manifest.takes_tables:
            raise UsageError(
                f"{self.path} takes tables of cells, and {command} is for images of them"
            )

    def content(self) -> dict[str, bytes]:
        """The content of every listed file, by its path in the bundle."""
        listed = listed_files(self.manifest)
        return {path: self._checked(path, entry) for path, entry in listed.items()}

    def check_all_files(self) -> None:
        """Check that every file is there and matches its hash; else raises BundleError."""
        for path, entry in listed_files(self.manifest).items():
            self._checked(path, entry)

    def _checked(self, path: str, entry: FileEntry) -> bytes:
        content = self._read(path, entry.bytes)
        if len(content) != entry.bytes or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise BundleError(
                f"{self.path}: {path} is not what the manifest says (changed or damaged); "
                "copy the bundle again from where it came from"
            )
        return content


def open_bundle(path: str | os.PathLike[str]) -> Bundle:
    """The bundle at `path`, with its manifest validated and every listed file present.

    Args:
        path: a bundle's directory, or its zip (.vxb). Nothing is unpacked to disk.

    Raises:
        BundleError: there is no bundle, or it is damaged, unsafe, incomplete, or of another schema
            version.

    >>> bundle = open_bundle(demo / "demo.vxb")
    >>> list(bundle.manifest.models)
    ['neutrophil', 'monocyte']
    """
    path = Path(path)
    read, sizes = _zip_reader(path) if path.is_file() else _folder_reader(path)
    if MANIFEST not in sizes:
        raise BundleError(f"{path} is not a bundle: it holds no {MANIFEST}")
    text = read(MANIFEST, LARGEST_MANIFEST_BYTES)
    manifest = manifest_from_json(text)
    for name, entry in listed_files(manifest).items():
        if name not in sizes:
            raise BundleError(f"{path}: {name} is missing from the bundle; copy it again")
        if sizes[name] != entry.bytes:
            raise BundleError(
                f"{path}: {name} has {sizes[name]} bytes, the manifest says {entry.bytes}; "
                "copy the bundle again from where it came from"
            )
    digest = hashlib.sha256(text).hexdigest()
    return Bundle(path=path, manifest=manifest, sha256=digest, _read=read)


def listed_files(manifest: Manifest) -> dict[str, FileEntry]:
    """The manifest's entry of every file, by its path in the bundle."""
    files = dict(manifest.files)
    for model, entry in manifest.networks.items():
        files.update({f"models/{model}/{name}": file for name, file in entry.files.items()})
    return files


def file_entry(
    content: bytes,
    opset: int | None = None,
    measured: dict[str, Any] | None = None,
    *,
    tested: bool = False,
    encoder: str | None = None,
) -> FileEntry:
    """The manifest's entry for a file with this content; arguments are as `FileEntry` has them."""
    return FileEntry(
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        opset=opset,
        tested=tested,
        encoder=encoder,
        measured=measured or {},
    )


def _folder_reader(path: Path) -> tuple[Callable[[str, int], bytes], dict[str, int]]:
    if not path.is_dir():
        raise BundleError(f"no bundle at {path}; expected a .vxb file or its folder")
    root = path.resolve()
    sizes = {}
    for file in sorted(root.rglob("*")):
        # Not Path.resolve: that raises RuntimeError for a link to itself.
        if not Path(os.path.realpath(file)).is_relative_to(root):
            raise BundleError(f"{path}: {file.name} is a link that leaves the bundle")
        if file.is_file():
            sizes[file.relative_to(root).as_posix()] = file.stat().st_size

    def read(name: str, limit: int) -> bytes:
        try:
            with open_file(root / name) as stream:
                content = stream.read(limit + 1)
        except OSError as error:
            raise BundleError(f"{path}: {name} cannot be read: {error.strerror}") from error
        return _limited(content, limit, path, name)

    return read, sizes


def _zip_reader(path: Path) -> tuple[Callable[[str, int], bytes], dict[str, int]]:
    try:
        with open_zip(path, _MOST_FILES) as archive:
            entries = archive.infolist()
    except ZIP_DAMAGE as error:
        raise BundleError(
            f"{path} is not a bundle (no readable zip: {error}); expected a .vxb file or its folder"
        ) from error
    for entry in entries:
        _check_entry(entry, path)
    if len({entry.filename for entry in entries}) != len(entries):
        raise BundleError(f"{path} holds one name twice; it was refused, so pack the bundle again")

    def read(name: str, limit: int) -> bytes:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(name) as stream:
                content = stream.read(limit + 1)
        except ZIP_DAMAGE as error:
            raise BundleError(f"{path}: {name} cannot be read: {error}") from error
        return _limited(content, limit, path, name)

    return read, {entry.filename: entry.file_size for entry in entries if not entry.is_dir()}


def _check_entry(entry: zipfile.ZipInfo, path: Path) -> None:
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in entry.filename:
        raise BundleError(f"{path}: unsafe path {entry.filename!r} in the bundle; it was refused")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise BundleError(f"{path}: {entry.filename!r} is a link; bundles hold files only")


def _limited(content: bytes, limit: int, path: Path, name: str) -> bytes:
    if len(content) > limit:
        raise BundleError(f"{path}: {name} is larger than the {limit} bytes it may have")
    return content
