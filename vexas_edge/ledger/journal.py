"""The journal of a results folder: a line for each result and each record of a run.

It is made from those files alone, and saves opening all of them: what scored, what is known of a
smear, and the rows of cases.csv.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from vexas_edge.errors import InputError
from vexas_edge.ledger.lines import CaseLine, JournalLine, RunLine, marks_of
from vexas_edge.ledger.runs import Confirmed, Mended, Removed, RunEnded, RunRecord, RunStarted
from vexas_edge.results.spreadsheet import PLAIN, CsvForm, csv_from_rows
from vexas_edge.results.tables import CELL_COLUMNS, case_rows, cell_rows
from vexas_edge.results.values import RESULT_SCHEMA, CaseScore

_RECORDS = {
    "started": RunStarted,
    "ended": RunEnded,
    "confirmed": Confirmed,
    "mended": Mended,
    "removed": Removed,
}


class _AnySchema(msgspec.Struct):
    schema_version: int = 0


def line_from_file(file: str, content: bytes) -> JournalLine:
    """The line of one file of `cases/` or `runs/`.

    Args:
        file: its path in the results folder, with `/`.

    Raises:
        InputError: it is no such file, damaged, or of another schema.
    """
    if file.startswith("cases/"):
        return case_line_from_file(file, content)
    record = record_from_json(file, content)
    return RunLine(
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        number=record.number,
        confirmed=record.results if isinstance(record, Confirmed) else (),
        mended=record.results if isinstance(record, Mended) else (),
        removed=record.results if isinstance(record, Removed) else (),
        told=record.results if isinstance(record, RunEnded | Confirmed | Mended) else (),
    )


def case_line_from_file(file: str, content: bytes) -> CaseLine:
    """The line of a result. Args and what it raises are those of `line_from_file`."""
    score = score_from_json(file, content)
    if score.entry is None:
        raise InputError(f"{file} is not of a results folder: it has no number")
    return CaseLine(
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        case=score.case,
        status=score.status,
        error=score.error,
        entry=score.entry,
        marks=marks_of(score),
        rows=tuple(case_rows(score, file)),
        cells_bytes=len(cells_csv(score, file)),
    )


def record_from_json(file: str, content: bytes) -> RunRecord:
    """The record in a file of `runs/`, whose name says of which kind it is.

    Raises:
        InputError: it is damaged, or of another schema.
    """
    kind = file.removesuffix(".json").rpartition("-")[2]
    if kind not in _RECORDS:
        raise InputError(f"{file} is no record of a run")
    record: RunRecord = _decoded(file, content, _RECORDS[kind])
    return record


def score_from_json(file: str, content: bytes) -> CaseScore:
    """The result in a file of `cases/`.

    Raises:
        InputError: it is damaged, or of another schema.
    """
    score: CaseScore = _decoded(file, content, CaseScore)
    return score


def cells_csv(score: CaseScore, file: str, form: CsvForm = PLAIN) -> bytes:
    """The result's part of cells.csv."""
    return csv_from_rows(cell_rows(score, file), CELL_COLUMNS, form)


def bytes_from_record(value: CaseScore | RunRecord) -> bytes:
    """The content of a file of `cases/` or `runs/`."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def bytes_from_line(line: JournalLine) -> bytes:
    """The line as it is written, with its end: a short hash, and what the line says."""
    content = msgspec.json.encode(line)
    return b'["%s",%s]\n' % (_check_of(content), content)


def lines_from_journal(content: bytes) -> Iterator[JournalLine]:
    """The lines of a journal that are as they were written; what others tell of is read again."""
    pair, decoder = msgspec.json.Decoder(tuple[str, msgspec.Raw]), msgspec.json.Decoder(JournalLine)
    for text in content.splitlines():
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            check, line = pair.decode(text)
            if check.encode() == _check_of(line):
                yield decoder.decode(line)


def _check_of(content: bytes | msgspec.Raw) -> bytes:
    return hashlib.sha256(content).hexdigest()[:8].encode()


def _decoded(file: str, content: bytes, kind: Any) -> Any:
    try:
        found = msgspec.json.decode(content, type=_AnySchema).schema_version
        if found != RESULT_SCHEMA:
            raise InputError(
                f"{file} is of schema {found}, and this version reads {RESULT_SCHEMA} only; name "
                "another results folder"
            )
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise InputError(f"{file} is damaged: {error}") from error
