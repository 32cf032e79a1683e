"""The inputs of each reader that should cost it most."""

import json
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping

from fuzzed_readers import packed
from PIL import Image
from worst_images import saved, worst_images

from vexas_edge.bundle.archive import LARGEST_MANIFEST_BYTES
from vexas_edge.inputs import MOST_TABLE_BYTES, MOST_TOML_BYTES
from vexas_edge.smear.case import MAX_FILE_BYTES


def worst_inputs(reader: str, seeds: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """The inputs of a reader that should cost most, each with what it is.

    Args:
        seeds: sound inputs of the reader, by name where they have one.
    """
    made: dict[str, Callable[[], Iterator[tuple[str, bytes]]]] = {
        "image": worst_images,
        "zip": _zips,
        "class map": _class_maps,
        "cohort": _cohorts,
        "golden": _goldens,
        "bundle": lambda: _bundles(seeds),
        "skops": _skops,
        "cache": lambda: _cache(seeds),
    }
    return made[reader]()


def _zips() -> Iterator[tuple[str, bytes]]:
    cell = saved(Image.new("RGB", (64, 64), (9, 99, 199)), "PNG", {})
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
