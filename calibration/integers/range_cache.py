"""Keeps ranges for later runs, under a hash of everything that they depend on."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from onnx import ModelProto

from calibration.integers.ranges import Range

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
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
