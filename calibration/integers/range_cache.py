"""Keeps ranges for later runs, under a hash of everything that they depend on."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from onnx import ModelProto

from calibration.integers.ranges import Range
from vexas_edge.files import put_in_place, remove_partials

# Part of every key; raise it whenever the way in which ranges are computed changes.
_VERSION = 1


def cached_ranges(
    folder: Path | None, model: ModelProto, options: str, find: Callable[[], dict[str, Range]]
) -> dict[str, Range]:
    """The ranges that `find` returns, from the cache if they are there.

    Files that cannot be read or written are ignored, since the cache only saves time.

    Args:
        folder: the cache; None for no cache.
        options: what the ranges depend on besides the graph: the cells' hashes, the percentile.
    """
    if folder is None:
        return find()
    graph = model.SerializeToString(deterministic=True)
    key = hashlib.sha256(f"{_VERSION} {options} ".encode() + graph).hexdigest()
    path = folder / f"ranges-{key}.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {name: Range(**extent) for name, extent in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        pass
    ranges = find()
    _write(path, json.dumps({name: asdict(extent) for name, extent in ranges.items()}))
    return ranges


def _write(path: Path, text: str) -> None:
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_partials(path.parent, lambda name: name.startswith("ranges-"))
        put_in_place(path, text.encode())
