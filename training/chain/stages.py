"""A stage's folder: made once for the same inputs, whole or not there, known by what went in.

While a stage is being made its folder is called `NAME.partial`. What an interrupted one left there
is thrown away, unless the stage can go on from it and its inputs are the same.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import vexas_edge
from export.inputs import sha256_of_file
from vexas_edge.errors import HostError
from vexas_edge.files import write_atomically
from vexas_edge.smear.cohort import CohortCase
from vexas_edge.smear.layout import is_image
from vexas_edge.smear.sources import open_source

RECORD = "stage.json"
_PARTIAL_KEY = "stage.key"
_PACKAGES = ("vexas_edge", "training", "export", "calibration")

Inputs = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage that is done. key: the hash of its inputs. files: SHA-256 of each, by name.

    anew: whether it was made now.
    """

    folder: Path
    key: str
    files: dict[str, str]
    anew: bool

    def facts(self) -> dict[str, Any]:
        """What the provenance says of it, and what the next stage depends on; no file's name."""
        text = json.dumps(self.files, sort_keys=True)
        return {"key": self.key, "files_sha256": hashlib.sha256(text.encode()).hexdigest()}


def run_stage(
    folder: Path, inputs: Inputs, make: Callable[[Path], None], *, resumes: bool = False
) -> Stage:
    """The stage in `folder`, made by `make(partial_folder)` unless it is there already.

    Args:
        inputs: everything that the result depends on, as JSON has it.
        resumes: whether `make` can go on from what an attempt with the same inputs left behind;
            else it starts in an empty folder.

    Raises:
        HostError: the folder cannot be written.
    """
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    there = _found(folder, key)
    if there:
        return there
    partial = folder.with_name(f"{folder.name}.partial")
    finished = _found(partial, key)  # but for its name
    try:
        if finished:
            _take_name(partial, folder)
            return replace(finished, folder=folder)
        _begin(partial, key, resumes=resumes)
    except OSError as error:
        raise HostError(f"{folder} cannot be written: {error.strerror}") from error
    make(partial)
    try:
        files = _finish(partial, folder, {"key": key, "inputs": inputs})
    except OSError as error:
        raise HostError(f"{folder} cannot be written: {error.strerror}") from error
    return Stage(folder=folder, key=key, files=files, anew=True)


def cells_digest(rows: Sequence[CohortCase]) -> str:
    """The hash of all images of these cases, with their names."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps([row.patient, row.sample, row.label, row.split]).encode())
        with closing(open_source(row.path)) as source:
            for name in sorted(filter(is_image, source.files)):
                digest.update(name.encode() + hashlib.sha256(source.read(name)).digest())
    return digest.hexdigest()


def torch_facts() -> dict[str, Any]:
    """What weights depend on beside data and options: other threads' sums round otherwise."""
    return {"torch": torch.__version__, "threads": torch.get_num_threads()}


def code_digest() -> str:
    """The hash of our own source: after any change of it every stage is made anew."""
    root = Path(vexas_edge.__file__).parents[1]
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def _found(folder: Path, key: str) -> Stage | None:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        files = record["files"]
        whole = record["key"] == key and all(
            sha256_of_file(folder / name) == sha256 for name, sha256 in files.items()
        )
    except (OSError, ValueError, KeyError):
        return None
    return Stage(folder=folder, key=key, files=files, anew=False) if whole else None


def _begin(partial: Path, key: str, *, resumes: bool) -> None:
    mark = partial / _PARTIAL_KEY
    goes_on = resumes and mark.is_file() and mark.read_text(encoding="utf-8") == key
    if partial.exists() and not goes_on:
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    mark.write_text(key, encoding="utf-8")


def _finish(partial: Path, folder: Path, record: dict[str, Any]) -> dict[str, str]:
    files = _hashes(partial)
    text = json.dumps({**record, "files": files}, indent=2)
    write_atomically(partial / RECORD, text.encode() + b"\n")
    _take_name(partial, folder)
    return files


def _take_name(partial: Path, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
    (folder / _PARTIAL_KEY).unlink(missing_ok=True)


def _hashes(folder: Path) -> dict[str, str]:
    own = (RECORD, _PARTIAL_KEY)
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.name not in own)
    return {file.relative_to(folder).as_posix(): sha256_of_file(file) for file in files}
