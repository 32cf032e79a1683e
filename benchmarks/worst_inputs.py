"""What do the worst inputs cost that anyone has thought of?

    python benchmarks/worst_inputs.py -o benchmarks/results/worst_inputs.jsonl

Changing inputs at random (`fuzzing.py`) finds what breaks a reader; what is dear has to be built:
files as large as they may be, that unpack to much, of very many parts, or nested deep. Each is read
in a process of its own, images by two threads at once, as a smear is scored with two. Told are the
seconds that this took, the memory over what the process had before, and what came of it. The
targets are 5 s and 512 MiB.
"""

import json
import multiprocessing
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import numpy as np
from fuzzed_readers import Reader, packed, readers
from fuzzing import forgotten_peak_mib, peak_mib
from host import host_facts
from PIL import Image

from vexas_edge.bundle.archive import LARGEST_MANIFEST_BYTES
from vexas_edge.cells.images import MAX_PIXELS
from vexas_edge.errors import VexasEdgeError
from vexas_edge.inputs import MOST_TABLE_BYTES, MOST_TOML_BYTES
from vexas_edge.smear.case import MAX_FILE_BYTES

MOST_SECONDS, MOST_MIB = 5.0, 512.0
_THREADS = {"image": 2}  # all others are read by one
_SIDE = int(MAX_PIXELS**0.5)
_HANGS_AFTER_S, _INPUT = 120.0, "input"


def worst_inputs(reader: str, seeds: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """The inputs of a reader that should cost most, each with what it is.

    Args:
        seeds: sound inputs of the reader, by name where they have one.
    """
    made: dict[str, Callable[[], Iterator[tuple[str, bytes]]]] = {
        "image": _images,
        "zip": _zips,
        "class map": _class_maps,
        "cohort": _cohorts,
        "golden": _goldens,
        "bundle": lambda: _bundles(seeds),
        "skops": _skops,
        "cache": lambda: _cache(seeds),
    }
    return made[reader]()


# Images


def _images() -> Iterator[tuple[str, bytes]]:
    rng = np.random.Generator(np.random.PCG64(0))
    noise = Image.fromarray(rng.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8))
    flat = Image.new("RGB", (_SIDE, _SIDE), (200, 150, 180))
    for kind, more in (
        ("PNG", {"compress_level": 9}),
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("JPEG", {"quality": 100, "progressive": True}),
        ("BMP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "packbits"}),
    ):
        yield f"{kind} {more} of noise, {_SIDE} px wide", _saved(noise, kind, more)
    yield "PNG of RGBA", _saved(noise.convert("RGBA"), "PNG", {})
    yield "PNG of one colour", _saved(flat, "PNG", {})
    yield "JPEG of 200 scans", _with_scans(_saved(flat, "JPEG", {"progressive": True}), 199)
    yield "a JPEG after comments as long as a file may be", _commented_jpeg()
    yield (
        "a JPEG of bytes FF without end",
        b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\xff" * MAX_FILE_BYTES,
    )
    png = _saved(flat, "PNG", {})
    yield "a PNG of very many texts", _png_with(png, b"tEXt", b"a\0b", MAX_FILE_BYTES // 16)
    yield "a PNG of very many empty parts", _png_with(png, b"IDAT", b"", MAX_FILE_BYTES // 13)
    yield "a PNG of very many unknown parts", _png_with(png, b"abCd", b"", MAX_FILE_BYTES // 13)
    yield "a PNG whose profile unpacks to 64 GB", _png_with(png, b"iCCP", _profile(), 1)
    yield "a PNG that unpacks to far more than it shows", _png_of_too_much()
    yield (
        "a PNG of one row that is 4 million px wide",
        _saved(Image.new("RGB", (MAX_PIXELS, 1)), "PNG", {}),
    )
    yield "a TIFF of very many frames", _tiff_chain(MAX_FILE_BYTES // 120)
    yield "a TIFF whose frames go round", _tiff_chain(2, round_to_first=True)
    yield "a TIFF of one strip a row", _saved(noise, "TIFF", {"strip_size": 1})
    yield "a TIFF with a tag as long as a file may be", _tiff_with_long_tag()
    yield "a TIFF of tags that are all the whole file", _tiff_of_long_tags(100)
    yield "a TIFF of as many tags as there may be", _tiff_of_long_tags(60_000, length=1000)
    yield "a camera's JPEG with very many previews", _mpo_of(1_000_000)
    yield "rubbish as long as a file may be", bytes(MAX_FILE_BYTES)
    yield "a BMP of a header and rubbish", _saved(flat, "BMP", {})[:54] + bytes(MAX_FILE_BYTES - 54)


def _saved(image: Image.Image, kind: str, more: Mapping[str, Any]) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **more)
    return stream.getvalue()


def _with_scans(jpeg: bytes, n: int) -> bytes:
    last = jpeg.rindex(b"\xff\xda")
    n -= jpeg.count(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * n + jpeg[-2:]


def _commented_jpeg() -> bytes:
    jpeg = _saved(Image.new("RGB", (64, 64)), "JPEG", {})
    comment = b"\xff\xfe" + struct.pack(">H", 2)
    return jpeg[:2] + comment * ((MAX_FILE_BYTES - len(jpeg)) // len(comment)) + jpeg[2:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def _png_with(png: bytes, kind: bytes, content: bytes, n: int) -> bytes:
    after_header = 8 + 25
    part = _chunk(kind, content)
    n = min(n, (MAX_FILE_BYTES - len(png)) // len(part))
    return png[:after_header] + part * n + png[after_header:]


def _profile() -> bytes:
    packer = zlib.compressobj(9)
    unpacked = b"".join(packer.compress(bytes(1 << 20)) for _ in range(4096))
    return b"a\0\0" + unpacked + packer.flush()


def _png_of_too_much() -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 << 20)) for _ in range(16_384)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _tiff_chain(n: int, *, round_to_first: bool = False) -> bytes:
    """A TIFF of n directories of one image; the last leads back to the first if asked."""
    tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 16, 279: 256}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries
    first, size = 8 + 256, len(directory) + 4
    parts = [b"II*\0" + struct.pack("<I", first) + bytes(range(256))]
    for number in range(n):
        following = first + size * (number + 1)
        if number == n - 1:
            following = first if round_to_first else 0
        parts.append(directory + struct.pack("<I", following))
    return b"".join(parts)


def _tiff_of_long_tags(n: int, length: int = MAX_FILE_BYTES - (8 << 20)) -> bytes:
    """A TIFF of an image and n more tags of so many bytes, which all lie in the same place."""
    tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 16, 279: 256}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries += [struct.pack("<HHII", 400 + tag, 2, length, 8) for tag in range(n)]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    pixels = bytes(range(256)) + bytes(length)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory


def _mpo_of(n: int) -> bytes:
    stream = BytesIO()
    views = [Image.new("RGB", (64, 64)), Image.new("RGB", (32, 32))]
    views[0].save(stream, "MPO", save_all=True, append_images=views[1:])
    mpo = bytearray(stream.getvalue())
    at = mpo.index(b"\x01\xb0")  # the number of pictures
    mpo[at + 8 : at + 12] = struct.pack("<I", n)
    return bytes(mpo)


def _tiff_with_long_tag() -> bytes:
    tiff = bytearray(_saved(Image.new("RGB", (64, 64)), "TIFF", {"description": "x" * 40}))
    first = struct.unpack("<I", tiff[4:8])[0]
    n = MAX_FILE_BYTES - len(tiff)
    for entry in range(struct.unpack("<H", tiff[first : first + 2])[0]):
        at = first + 2 + 12 * entry
        if struct.unpack("<H", tiff[at : at + 2])[0] == 270:
            tiff[at + 4 : at + 12] = struct.pack("<II", n, len(tiff))
    return bytes(tiff) + b"x" * n


# Zips and tables


def _zips() -> Iterator[tuple[str, bytes]]:
    cell = _saved(Image.new("RGB", (64, 64), (9, 99, 199)), "PNG", {})
    yield "a zip of 100,000 cells", packed({f"NEU_{n}.png": cell for n in range(100_000)})
    yield "a zip of 1.5 million files", _zip_of_empty_files(1_500_000)
    yield "a zip of one deep path", packed({"a/" * 30_000 + "b.png": cell})
    zeros = bytes(MAX_FILE_BYTES)
    bomb = {f"{n}.png": zeros for n in range(8)}
    yield "a zip of 8 files that unpack to 512 MiB", packed(bomb, zipfile.ZIP_DEFLATED)


def _zip_of_empty_files(n: int) -> bytes:
    """A zip whose list is real, and all of whose entries are the same empty file."""
    local = struct.pack("<4s5HIIIHH", b"PK\3\4", 45, 0, 0, 0, 33, 0, 0, 0, 7, 0) + b"0000000"
    entries = b"".join(
        struct.pack("<4s6HIIIHHHHHII", b"PK\1\2", 45, 45, 0, 0, 0, 33, 0, 0, 0, 7, *[0] * 6)
        + b"%07d" % number
        for number in range(n)
    )
    at = len(local)
    wide = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, n, n, len(entries), at)
    place = struct.pack("<4sIQI", b"PK\6\7", 0, at + len(entries), 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, 46, 0, 0)
    return local + entries + wide + place + end


def _class_maps() -> Iterator[tuple[str, bytes]]:
    least = MOST_TOML_BYTES
    yield (
        "a class map of as many lines as it may have",
        _full(b"[classes]\n", b'"%d" = "blast"\n', least),
    )
    yield "a class map of tables", _full(b"", b"[a%d]\n", least)
    yield "a class map of tables in tables", _full(b"", b"[%d.a.b.c.d.e.f.g.h.i.j.k.l.m]\n", least)
    yield "a class map of a key of many quoted parts", b"[classes]\n" + b'"=".' * 20_000 + b"b=1"
    yield "a class map of one long number", b"[classes]\na = 0x" + b"f" * (least - 20)
    yield "a class map of one key", b"a" * (least - 8) + b" = 1"
    yield "a class map of one text", b'a = "' + b"\\u00e9" * (least // 6 - 2) + b'"'
    yield "a class map of empty arrays", b"a = [" + b"[]," * (least // 3 - 4) + b"]"
    yield "a class map of numbers", b"a = [" + b"1," * (least // 2 - 4) + b"]"
    yield "a class map of comments", b"#\n" * (least // 2)


def _full(start: bytes, line: bytes, size: int) -> bytes:
    lines, length, number = [start], len(start), 0
    while length + len(line) + 8 < size:
        lines.append(line % number)
        length, number = length + len(lines[-1]), number + 1
    return b"".join(lines)


def _cohorts() -> Iterator[tuple[str, bytes]]:
    header = b"patient,sample,path,label,split\n"
    most = MOST_TABLE_BYTES - len(header)
    rows = b"".join(b"%d,%d,%d,b,c\n" % (n, n, n) for n in range(most // 10))[:most]
    yield "a cohort of as many rows as it may have", header + rows[: rows.rindex(b"\n") + 1]
    yield "a cohort of 200 MiB", header + b"1,1,1,1,1\n" * (20 << 20)
    wide = b",".join(b"c%d" % n for n in range(most // 9))
    yield "a cohort of very many columns", header[:-1] + b"," + wide + b"\n"
    yield "a cohort of one long value", header + b'"' + b"x" * (most - 20) + b'",1,1,1,1\n'
    yield "a cohort of commas", header + b"," * most
    yield "a cohort of empty lines", header + b"\n" * most


# Arrays and bundles


def _goldens() -> Iterator[tuple[str, bytes]]:
    n = (120 << 20) // 8
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield (
            f"arrays of 120 MiB, packed by {packing}",
            packed({"cells.npy": _npy(f"({n},)", bytes(8 * n))}, packing),
        )
    for n_arrays in (1000, 50_000):
        arrays = {f"{i}.npy": _npy("(1,)", bytes(8)) for i in range(n_arrays)}
        yield f"{n_arrays} arrays", packed(arrays)
    many = "(" + "1," * 4000 + ")"
    yield "an array of 4000 dimensions", packed({"cells.npy": _npy(many, bytes(8))})


def _npy(shape: str, content: bytes) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header = header.ljust(-(-(len(header) + 11) // 64) * 64 - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def _bundles(seeds: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    manifest = seeds["manifest.json"]
    most = LARGEST_MANIFEST_BYTES - 4 * len(manifest)  # once it is written with its new hashes
    for what, part in {"lists": b"[]", "maps": b"{}", "numbers": b"1", "texts": b'"a"'}.items():
        many = b"[" + (part + b",") * (most // (len(part) + 2)) + part + b"]"
        yield f"a manifest of {what}", _named("manifest.json", _with_provenance(manifest, many))
    deep = b"[" * 900 + b"]" * 900
    yield "a manifest nested deep", _named("manifest.json", _with_provenance(manifest, deep))
    number = b"9" * (1 << 20)
    yield "a manifest of a long number", _named("manifest.json", _with_provenance(manifest, number))
    # Memory grows with a graph, which may be as large as the weights in it.
    graph = "models/lymphocyte/fused.fp32.onnx"
    yield "a graph of very many parts", _named(graph, seeds[graph] + b"\x08\0" * (16 << 20))
    yield "a graph of one long part", _named(graph, seeds[graph] + _field(6, bytes(32 << 20)))
    yield "a graph of zeros", _named(graph, bytes(32 << 20))
    yield "a card of 32 MiB", _named("card.md", b"\xff" * (32 << 20))


def _with_provenance(manifest: bytes, content: bytes) -> bytes:
    read = json.loads(manifest)
    read["provenance"] = {"training_data": "PLACE"}
    return json.dumps(read).encode().replace(b'"PLACE"', content)


def _field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message."""
    size, left = bytearray(), len(content)
    while left > 0x7F:
        size.append(left & 0x7F | 0x80)
        left >>= 7
    size.append(left)
    return bytes([number << 3 | 2]) + bytes(size) + content


def _named(name: str, content: bytes) -> bytes:
    return name.encode() + b"\0" + content


def _skops() -> Iterator[tuple[str, bytes]]:
    for what, schema in {
        "nested deep": b'{"__class__": ' * 5000,
        "of 30 MiB": b'{"a": [' + b"{}," * (10 << 20) + b"{}]}",
    }.items():
        yield f"a classifier {what}", packed({"schema.json": schema}, zipfile.ZIP_DEFLATED)


def _cache(seeds: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    (name,) = seeds
    line, _, _ = seeds[name].partition(b"\n")
    yield (
        "a cache's entry of lists",
        _named(name, line + b"\n" + b"[" + b"[]," * (10 << 20) + b"1]"),
    )
    yield "a cache's entry of one line", _named(name, b"[" * (32 << 20))


# Measuring


def _work(reader_name: str, kept: Path, to: Connection) -> None:
    reader = readers(kept)[reader_name]
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        ThreadPoolExecutor() as pool,
    ):
        base = forgotten_peak_mib()
        began = time.perf_counter()
        places = [Path(one), Path(other)][: _THREADS.get(reader_name, 1)]
        outcomes = set(pool.map(lambda place: _outcome(reader, kept / _INPUT, place), places))
        to.send((time.perf_counter() - began, peak_mib() - base, sorted(outcomes)))


def _seeds(reader: Reader) -> dict[str, bytes]:
    """The seeds by name, as far as they begin with one."""
    parts = [seed.partition(b"\0") for seed in reader.seeds]
    return {name.decode(): rest for name, _, rest in parts if name.isascii() and len(name) < 99}


def _outcome(reader: Reader, file: Path, folder: Path) -> str:
    try:
        reader.read(file.read_bytes(), folder)
    except VexasEdgeError as error:
        return f"refused: {error}"[:200].replace(str(folder), "FOLDER")
    return "read"


def measured(reader: str, data: bytes, kept: Path) -> tuple[float, float, list[str]]:
    """Seconds, MiB over the start's, and outcomes of an input."""
    (kept / _INPUT).write_bytes(data)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    work = context.Process(target=_work, args=(reader, kept, theirs))
    work.start()
    theirs.close()
    try:
        if not ours.poll(_HANGS_AFTER_S):
            return _HANGS_AFTER_S, 0.0, ["hang"]
        found: tuple[float, float, list[str]] = ours.recv()
        return found
    except EOFError:
        return 0.0, 0.0, ["crash, or an exception that is not ours"]
    finally:
        work.kill()
        work.join()


@click.command()
@click.option("-o", "out", type=click.Path(path_type=Path), help="Add lines here.")
@click.option("--reader", "names", multiple=True, help="Try this one only; may be repeated.")
def main(out: Path | None, names: tuple[str, ...]) -> None:
    """Read the worst inputs of every reader; add a line for each of them."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder)
        for name, reader in readers(kept).items():
            if names and name not in names:
                continue
            for what, data in worst_inputs(name, _seeds(reader)):
                seconds, mib, outcomes = measured(name, data, kept)
                line = {
                    "question": f"the seconds that reading {what} takes",
                    "ratio": round(seconds / MOST_SECONDS, 3),
                    "target": f"under 1 ({MOST_SECONDS:.0f} s), and under {MOST_MIB:.0f} MiB",
                    "reader": name,
                    "seconds": round(seconds, 3),
                    "mib_over_base": round(mib, 1),
                    "outcomes": outcomes,
                }
                if out:
                    with out.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps({**line, **host_facts()}) + "\n")
                click.echo(f"{seconds:7.2f} s {mib:7.1f} MiB  {name}: {what}: {outcomes}")


if __name__ == "__main__":
    main()
