"""Results on disk: a JSON file a case, the tables, the run's record; each whole or not there."""

import csv
import hashlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from vexas_edge.errors import HostError, UsageError
from vexas_edge.results import CaseScore, ModelScore

CASE_COLUMNS = (
    "case",
    "status",
    "model",
    "score",
    "standard_error",
    "low",
    "high",
    "n_cells",
    "reasons",
    "call",
    "near_threshold",
    "threshold",
    "share_over_threshold",
    "case_status",
    "case_call",
    "error",
    "notice",
)
CELL_COLUMNS = ("case", "model", "cell", "class", "status", "reason", "sha256")

_UNSAFE = set('<>:"/\\|?*%')
_RESERVED = {"CON", "PRN", "AUX", "NUL"} | {f"{d}{n}" for d in ("COM", "LPT") for n in range(1, 10)}
_LONGEST_STEM = 120
_RETRY_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.5)


def file_stem_for_case(case: str) -> str:
    """A file name, without suffix, that every system takes; different for different cases."""
    stem = "".join(_escaped(c) if c in _UNSAFE or c < " " else c for c in case) or "%"
    if stem.split(".")[0].strip().upper() in _RESERVED:
        stem = _escaped(stem[0]) + stem[1:]
    if stem[-1] in ". ":
        stem = stem[:-1] + _escaped(stem[-1])
    if len(stem) > _LONGEST_STEM:
        stem = f"{stem[:_LONGEST_STEM]}~{hashlib.sha256(case.encode()).hexdigest()[:8]}"
    return stem


def check_distinct(names: Iterable[str]) -> None:
    """Pass if every case gets a file of its own, on Windows too.

    Raises:
        UsageError: two cases have one name.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(file_stem_for_case(name).casefold(), name)
        if other is not name:
            raise UsageError(
                f"two cases have one name, {other!r} and {name!r}, and one result would replace "
                "the other; rename one, or score them separately"
            )


def json_from_score(score: CaseScore) -> bytes:
    """The result as one line of JSON; single cells stand in cells.csv, not here."""
    fields = msgspec.to_builtins(score)
    for model in fields["models"]:
        del model["cells"]
    return msgspec.json.encode(fields)


class ResultFolder:
    """An output folder being filled, as a context manager.

    Each case's JSON is there as soon as the case is done. The tables take their names when the
    run ends, interrupted or not; then they hold every case that was done.
    """

    def __init__(self, folder: Path) -> None:
        """Create the folder.

        Raises:
            HostError: it cannot be created or written.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._cases = _Table(folder / "cases.csv", CASE_COLUMNS)
            self._cells = _Table(folder / "cells.csv", CELL_COLUMNS)
        except OSError as error:
            raise HostError(
                f"output folder {folder} cannot be written: {error.strerror}"
            ) from error

    def add(self, score: CaseScore) -> None:
        """Write one case's result."""
        pretty = msgspec.json.format(json_from_score(score), indent=2) + b"\n"
        write_atomically(self.folder / f"{file_stem_for_case(score.case)}.json", pretty)
        self._cases.add(case_rows(score))
        self._cells.add(cell_rows(score))

    def finish(self, run: Mapping[str, Any]) -> None:
        """Write run.json: how the whole run went."""
        pretty = msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n"
        write_atomically(self.folder / "run.json", pretty)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cases.close()
        self._cells.close()


def case_rows(score: CaseScore) -> list[dict[str, Any]]:
    """The case's rows of cases.csv: one a model, or one where it failed before any model."""
    shared = {
        "case": score.case,
        "case_status": score.status,
        "case_call": score.call,
        "error": score.error,
        "notice": score.notice,
    }
    if not score.models:
        return [{**shared, "status": score.status}]
    return [{**shared, **_model_columns(model)} for model in score.models]


def _model_columns(model: ModelScore) -> dict[str, Any]:
    columns = {name: getattr(model, name, None) for name in CASE_COLUMNS}
    columns = {name: value for name, value in columns.items() if value is not None}
    return {**columns, "reasons": ";".join(model.reasons)}


def cell_rows(score: CaseScore) -> list[dict[str, Any]]:
    """The case's rows of cells.csv: one for each cell that each model looked at."""
    return [
        {
            "case": score.case,
            "model": model.model,
            "cell": cell.path,
            "class": cell.cell_class,
            "status": cell.status,
            "reason": cell.reason,
            "sha256": cell.sha256,
        }
        for model in score.models
        for cell in model.cells
    ]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there.

    Raises:
        HostError: it cannot be written; what was written stays beside it under another name.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(content)
    except OSError as error:
        raise HostError(f"{path} cannot be written: {error.strerror}") from error
    _replace(partial, path)


def _replace(partial: Path, path: Path) -> None:
    # A spreadsheet that has the old file open holds it; most let go within a second or two.
    for pause in _RETRY_SECONDS:
        try:
            partial.replace(path)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    try:
        partial.replace(path)
    except OSError as error:
        raise HostError(
            f"{path} cannot be replaced ({error.strerror}): is it open in another program? "
            f"The new content is in {partial}"
        ) from error


class _Table:
    """A CSV file being written under another name, renamed when it is closed."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        self._stream = self._partial.open("w", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._stream, columns)
        self._writer.writeheader()

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self._writer.writerow({name: _csv_value(value) for name, value in row.items()})
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()
        _replace(self._partial, self._path)


def _csv_value(value: Any) -> Any:
    """Texts that a spreadsheet would run as a formula are quoted with an apostrophe."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def _escaped(character: str) -> str:
    return f"%{ord(character):02X}"
