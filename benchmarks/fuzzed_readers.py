"""The readers that `fuzzing.py` tries, each with sound inputs to begin from."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import skops.io
from fuzzed_tables import (
    MATRICES,
    TEXT_TABLES,
    array_tables,
    familiar_seeds,
    read_array_table,
    read_matrix,
    read_text_table,
)
from PIL import Image
from samples import write_drawn_cells, write_file_bundle
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC

from export.encoder import onnx_from_torch
from export.inputs import load_classifier
from vexas_edge import open_bundle
from vexas_edge.bench.drawn_smear import drawn_crop
from vexas_edge.bundle.graphs import GOLDEN
from vexas_edge.cells.images import cell_from_bytes
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.host.cache import FOLDER_VARIABLE
from vexas_edge.runtime.choice import Measured, choose, remember
from vexas_edge.runtime.selftest import golden_from_npz
from vexas_edge.runtime.session import reference_of
from vexas_edge.scoring.verification import run_selftest
from vexas_edge.smear.cohort import read_cohort
from vexas_edge.smear.sources import open_source
from vexas_edge.smear.vocabulary import vocabulary_from
from vexas_edge.typing.familiar import familiar_from_bytes

CANVAS_PX, WIDTH = 32, 8
_MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What is tried.

    seeds: sound inputs.
    read: reads an input; it may raise our own errors, and nothing else. The folder is for files.
    """

    seeds: Sequence[bytes]
    read: Callable[[bytes, Path], object]


def readers(folder: Path) -> dict[str, Reader]:
    """Every reader by name; the folder keeps what they need."""
    bundle = small_bundle(folder)
    return {
        "image": Reader(seeds=image_seeds(), read=lambda data, _: cell_from_bytes(data)),
        "zip": Reader(seeds=_zips(), read=_read_zip),
        "bundle": Reader(seeds=_members(bundle), read=_read_bundle(bundle)),
        "golden": Reader(
            seeds=[open_bundle(bundle).model_file("lymphocyte", GOLDEN)],
            read=lambda data, _: golden_from_npz(data),
        ),
        "class map": Reader(seeds=_CLASS_MAPS, read=_read_class_map),
        "cohort": Reader(seeds=_COHORTS, read=_read_cohort),
        "cache": Reader(seeds=_cache_entries(bundle, folder), read=_read_cache(bundle)),
        "skops": Reader(seeds=_classifiers(), read=_read_skops),
        "familiar": Reader(
            seeds=familiar_seeds(WIDTH), read=lambda data, _: familiar_from_bytes(data, WIDTH)
        ),
        "text table": Reader(seeds=TEXT_TABLES, read=read_text_table),
        "array table": Reader(seeds=array_tables(), read=read_array_table),
        "matrix": Reader(seeds=MATRICES, read=read_matrix),
    }


def image_seeds() -> list[bytes]:
    """A cell in each form that images have."""
    rng = np.random.Generator(np.random.PCG64(0))
    cell = Image.fromarray(drawn_crop(48, rng))
    ways: list[tuple[Image.Image, str, dict[str, object]]] = [
        (cell, "JPEG", {"quality": 80}),
        (
            cell,
            "JPEG",
            {"progressive": True, "comment": b"a cell", "exif": b"Exif\0\0II*\0\x08\0\0\0"},
        ),
        (cell.convert("L"), "JPEG", {}),
        (cell.convert("CMYK"), "JPEG", {}),
        (cell, "PNG", {}),
        (cell.convert("RGBA"), "PNG", {"dpi": (96, 96)}),
        (cell.convert("P"), "PNG", {"bits": 8}),
        (cell.convert("LA"), "PNG", {}),
        (cell.convert("I;16"), "PNG", {}),
        (cell, "BMP", {}),
        (cell.convert("P"), "BMP", {}),
        (cell, "TIFF", {}),
        (cell, "TIFF", {"compression": "tiff_lzw"}),
        (cell, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (cell, "TIFF", {"compression": "jpeg"}),
        (cell, "TIFF", {"compression": "packbits"}),
        (cell.convert("P"), "TIFF", {"compression": "packbits"}),
        (cell.convert("RGBA"), "TIFF", {}),
    ]
    return [_saved(image, kind, more) for image, kind, more in ways]


def _saved(image: Image.Image, kind: str, more: Mapping[str, object]) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **more)
    return stream.getvalue()


def _zips() -> list[bytes]:
    cell = image_seeds()[4]
    return [
        packed({"P1/NEU_1.png": cell, "P1/NEU_2.png": cell[:-9]}, zipfile.ZIP_DEFLATED),
        packed({"a.png": cell, "Thumbs.db": b"x", "deep/er/b.png": cell}, zipfile.ZIP_STORED),
    ]


def packed(files: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these files."""
    stream = BytesIO()
    _pack(files, stream, compression)
    return stream.getvalue()


def _pack(files: Mapping[str, bytes], to: Path | BytesIO, compression: int) -> None:
    with zipfile.ZipFile(to, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)


def _read_zip(data: bytes, folder: Path) -> None:
    path = folder / "smear.zip"
    path.write_bytes(data)
    source = open_source(path)
    try:
        for name in source.files:
            source.read(name)
    finally:
        source.close()


def small_bundle(folder: Path) -> Path:
    """A bundle of a small network, made once."""
    path = folder / "small.vxb"
    if not path.exists():
        import torch

        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(3, WIDTH, 3, stride=4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)
        )
        module = torch.nn.Sequential(network, torch.nn.Flatten()).eval()
        encoder = folder / "small.onnx"
        encoder.write_bytes(onnx_from_torch(module, CANVAS_PX).SerializeToString())
        cells = write_drawn_cells(8, CANVAS_PX, folder / "cells")
        write_file_bundle(encoder, WIDTH, CANVAS_PX, cells, path)
    return path


def _members(bundle: Path) -> list[bytes]:
    """The bundle's files, each led by its name, so that a changed one still says which it is."""
    with zipfile.ZipFile(bundle) as archive:
        return [name.encode() + b"\0" + archive.read(name) for name in archive.namelist()]


def _read_bundle(bundle: Path) -> Callable[[bytes, Path], None]:
    with zipfile.ZipFile(bundle) as archive:
        sound = {name: archive.read(name) for name in archive.namelist()}

    def read(data: bytes, folder: Path) -> None:
        name, _, content = data.partition(b"\0")
        changed = {**sound, name.decode("utf-8", "replace")[:200] or "empty": content}
        path = folder / "changed.vxb"
        _pack(_rehashed(changed), path, zipfile.ZIP_STORED)
        opened = open_bundle(path)
        opened.check_all_files()
        opened.card()
        for model in opened.manifest.models:
            reference_of(opened, model)
        for _ in run_selftest(opened, EngineOptions(engine="onnxruntime", threads=1)):
            pass

    return read


def _rehashed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files, with a manifest that has their hashes if it can still be read as JSON."""
    try:
        manifest = json.loads(files[_MANIFEST])
        entries = {f"{name}": entry for name, entry in manifest["files"].items()}
        for model, found in manifest["models"].items():
            entries |= {f"models/{model}/{name}": e for name, e in found["files"].items()}
        for name, entry in entries.items():
            if name in files:
                entry["bytes"] = len(files[name])
                entry["sha256"] = hashlib.sha256(files[name]).hexdigest()
        return {**files, _MANIFEST: json.dumps(manifest).encode()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return dict(files)


_CLASS_MAPS = [
    b'extends = "cellavision"\n\n[classes]\nXX = "lymphocyte"\n"A b" = "ignore"\nN1 = "blast"\n',
    '[classes]\n"Sèg" = \'neutrophil_segmented\' # a\n"\\u00e9" = "monocyte"\n'.encode(),
]


def _read_class_map(data: bytes, folder: Path) -> None:
    path = folder / "classes.toml"
    path.write_bytes(data)
    vocabulary_from(str(path))


_COHORTS = [
    b'patient,sample,path,label,split\nP1,S1,a/b,VEXAS,fit\nP2,S2,"c,d",other,judge\n',
    b"\xef\xbb\xbfpatient,sample,path,label,split,age\r\n1,1,x,a,fit,70\r\n2,2,y,b,fit,\r\n",
]


def _read_cohort(data: bytes, folder: Path) -> None:
    path = folder / "cohort.csv"
    path.write_bytes(data)
    read_cohort(path)


def _cache_entries(bundle: Path, folder: Path) -> list[bytes]:
    """What `prepare` remembers for the bundle, with the name of its file before it."""
    cache = folder / "cache"
    os.environ[FOLDER_VARIABLE] = str(cache)
    way = Measured(engine="openvino", device="cpu", precision="fp32", ms_per_cell=1.0)
    remember(open_bundle(bundle), [way])
    return [entry.name.encode() + b"\0" + entry.read_bytes() for entry in cache.glob("*.entry")]


def _read_cache(bundle: Path) -> Callable[[bytes, Path], None]:
    opened = open_bundle(bundle)

    def read(data: bytes, folder: Path) -> None:
        name, _, content = data.partition(b"\0")
        os.environ[FOLDER_VARIABLE] = str(folder)
        entry = next(iter(folder.glob("*.entry")), None) or folder / _safe(name)
        entry.write_bytes(_resealed(content))
        # Whatever lies there: it is used or missed, and never stops a score.
        options, _graph = choose(opened, EngineOptions(), "auto")
        assert options.engine in ("onnxruntime", "openvino")

    return read


def _safe(name: bytes) -> str:
    return "".join(c for c in name.decode("ascii", "replace") if c.isalnum() or c in "-.") or "x"


def _resealed(content: bytes) -> bytes:
    """The entry with the hash of its content, so that what is forged is looked at."""
    line, _, body = content.partition(b"\n")
    try:
        header = json.loads(line)
        header["sha256"] = hashlib.sha256(body).hexdigest()
        return json.dumps(header, sort_keys=True).encode() + b"\n" + body
    except (ValueError, TypeError, RecursionError):
        return content


def _classifiers() -> list[bytes]:
    rng = np.random.Generator(np.random.PCG64(0))
    features, labels = rng.normal(size=(24, 4)), np.arange(24) % 2
    svc = SVC().fit(features, labels)
    calibrated = CalibratedClassifierCV(SVC(), ensemble=False, cv=2).fit(features, labels)
    return [skops.io.dumps(classifier) for classifier in (svc, calibrated)]


def _read_skops(data: bytes, folder: Path) -> None:
    path = folder / "classifier.skops"
    path.write_bytes(data)
    load_classifier(path)
