"""Runs a stage once for the same inputs; its folder is either whole or not there.

While a stage is running its folder is called `NAME.partial`. What an interrupted one left there is
deleted, unless the stage can continue from it and its inputs are the same.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export.inputs import sha256_of_file
from training.chain.inputs import GivenFile
from vexas_edge.errors import HostError
from vexas_edge.files import write_atomically

RECORD = "stage.json"
_PARTIAL_KEY = "stage.key"
_FOR_PEOPLE = (".html", ".md", ".png")

Inputs = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage that is done.

    key: the hash of its inputs.
    files: SHA-256 of each file, by name.
    anew: whether it has run just now.
    """

    folder: Path
    key: str
    files: dict[str, str]
    anew: bool

    def file(self, name: str) -> GivenFile:
        """One of its files, for a later stage."""
        return GivenFile(path=self.folder / name, sha256=self.files[name])

    def facts(self) -> dict[str, str]:
        """The hash of its files for the provenance, without their names.

        Pages and plots are left out: nothing is made from them, so that with another layout the
        bundle stays the same. Images of cells count; they lie in folders.
        """
        kept = {
            name: sha256
            for name, sha256 in self.files.items()
            if "/" in name or not name.endswith(_FOR_PEOPLE)
        }
        text = json.dumps(kept, sort_keys=True)
        return {"files_sha256": hashlib.sha256(text.encode()).hexdigest()}


def run_stage(
    folder: Path, inputs: Inputs, make: Callable[[Path], None], *, resumes: bool = False
) -> Stage:
    """The stage in `folder`, made by `make(partial_folder)` unless it is there already.

    Args:
        inputs: everything that the result depends on, in types that JSON has.
        resumes: whether `make` can continue from what an attempt with the same inputs has left;
            else it starts in an empty folder.

    Raises:
        HostError: the folder cannot be written.
    """
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    there = _found(folder, key)
    if there:
        return there
    partial = folder.with_name(f"{folder.name}.partial")
    finished = _found(partial, key)  # finished, but not renamed yet
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
