"""Results on disk: one JSON file per case, the tables and the run's record, each written whole."""

import csv
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from vexas_edge.errors import HostError
from vexas_edge.files import HeldFileError, partial_of, take_name, write_atomically
from vexas_edge.results.names import RUN, file_stem_for_case
from vexas_edge.results.values import CaseScore, ModelScore, RunRecord

CASE_COLUMNS = (
    "case",
    "status",
    "model",
    "score",
    "interval_low",
    "interval_high",
    "call",
    "call_uncertain",
    "threshold",
    "n_cells",
    "n_unreadable",
    "n_rejected",
    "reasons",
    "family",
    "standard_error",
    "draws_low",
    "draws_high",
    "share_over_threshold",
    "case_status",
    "case_call",
    "error",
    "missing_gate",
    "notice",
)
CELL_COLUMNS = (
    "case",
    "model",
    "cell",
    "class",
    "status",
    "reason",
    "remarks",
    "identity",
    "sha256",
)


def json_from_score(score: CaseScore) -> bytes:
    """The result as one line of JSON, without the single cells, which are in cells.csv."""
    fields = msgspec.to_builtins(score)
    for model in fields["models"]:
        del model["cells"]
    return msgspec.json.encode(fields)


class ResultFolder:
    """An output folder that is being filled, as a context manager.

    Each case's JSON is there as soon as the case is done. The tables and run.json take their names
    when the run ends, interrupted or not, and hold every case that was done. A run that ends
    before its first case is done does not touch the files of an earlier run.
    """

    def __init__(self, folder: Path, record: Callable[[], RunRecord]) -> None:
        """Create the folder.

        Args:
            record: returns the content of run.json; called when the run ends.

        Raises:
            HostError: the folder cannot be created or written.
        """
        self.folder = folder
        self._record = record
        self._problems: list[str] = []
        self._n_cases = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HostError(
                f"output folder {folder} cannot be created: {error.strerror}; name another with -o"
            ) from error
        self._cases = _Table(folder / "cases.csv", CASE_COLUMNS)
        try:
            self._cells = _Table(folder / "cells.csv", CELL_COLUMNS)
        except HostError:
            self._cases.discard()
            raise

    def add(self, score: CaseScore) -> None:
        """Write one case's result. A file that another program holds is reported at the end.

        Raises:
            HostError: the folder can no longer be written.
        """
        self._n_cases += 1
        self._cases.add(case_rows(score))
        self._cells.add(cell_rows(score))
        pretty = msgspec.json.format(json_from_score(score), indent=2) + b"\n"
        try:
            write_atomically(self.folder / f"{file_stem_for_case(score.case)}.json", pretty)
        except HeldFileError as error:
            self._problems.append(str(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._n_cases:
            self._cases.discard()
            self._cells.discard()
            return
        for close in (self._cases.close, self._cells.close, self._write_record):
            try:
                close()
            except HostError as unwritten:
                self._problems.append(str(unwritten))
        if error:
            for problem in self._problems:
                error.add_note(problem)
        elif self._problems:
            raise HostError("; ".join(self._problems))

    def _write_record(self) -> None:
        pretty = msgspec.json.format(msgspec.json.encode(self._record()), indent=2) + b"\n"
        write_atomically(self.folder / f"{RUN}.json", pretty)


def case_rows(score: CaseScore) -> list[dict[str, Any]]:
    """The case's rows of cases.csv: one per model, or one in all if the case failed."""
    shared = {
        "case": score.case,
        "case_status": score.status,
        "case_call": score.call,
        "error": score.error,
        "missing_gate": score.missing_gate,
        "notice": score.notice,
    }
    if not score.models:
        return [{**shared, "status": score.status}]
    return [{**shared, **_model_columns(model)} for model in score.models]


def _model_columns(model: ModelScore) -> dict[str, Any]:
    columns = {name: getattr(model, name, None) for name in CASE_COLUMNS}
    columns = {name: value for name, value in columns.items() if value is not None}
    family = model.domain.family if model.domain else None
    return {**columns, "reasons": ";".join(model.reasons), "family": family}


def cell_rows(score: CaseScore) -> list[dict[str, Any]]:
    """The case's rows of cells.csv: one per model and cell that it looked at."""
    return [
        {
            "case": score.case,
            "model": model.model,
            "cell": cell.path,
            "class": cell.cell_class,
            "status": cell.status,
            "reason": cell.reason,
            "remarks": ";".join(cell.remarks),
            "identity": cell.identity,
            "sha256": cell.sha256,
        }
        for model in score.models
        for cell in model.cells
    ]


class _Table:
    """A CSV file that is written under a temporary name and renamed when it is closed."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self._path = path
        try:
            self._stream = partial_of(path).open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise HostError(
                f"{path} cannot be written: {error.strerror}; name another folder with -o"
            ) from error
        self._writer = csv.DictWriter(self._stream, columns)
        self._writer.writeheader()

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        try:
            for row in rows:
                self._writer.writerow({name: _csv_value(value) for name, value in row.items()})
            self._stream.flush()
        except OSError as error:
            raise HostError(f"{self._path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        try:
            self._stream.close()
        except OSError as error:
            raise HostError(f"{self._path} cannot be written: {error.strerror}") from error
        take_name(partial_of(self._path), self._path)

    def discard(self) -> None:
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            partial_of(self._path).unlink()


def _csv_value(value: Any) -> Any:
    """The value as it is written; an apostrophe goes before what a spreadsheet takes for a formula.

    Spreadsheet programs would run such a text when the file is opened.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
