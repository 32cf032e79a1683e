"""What a case is called: after its folder, by a pattern over its path, or by a worklist."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from vexas_edge.errors import InputError, UsageError
from vexas_edge.inputs import state_of_file
from vexas_edge.naming.hashing import NOT_WRITTEN, read_key
from vexas_edge.naming.pattern import PathPattern
from vexas_edge.naming.worklist import case_on_worklist, read_worklist
from vexas_edge.results.values import CaseScore
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.finding import is_zip
from vexas_edge.text import unicode_text


@dataclass(frozen=True, kw_only=True, slots=True)
class NamingOptions:
    """How cases are named; without any of these, after their folders.

    case_id: a pattern, as `PathPattern` has it.
    worklist: a CSV file, as `read_worklist` has it.
    hash_ids: a file with a key, under which ids are hashed in all that is written.
    """

    case_id: str | None = None
    worklist: Path | None = None
    hash_ids: Path | None = None


class Naming:
    """Names cases as was asked for."""

    def __init__(self, options: NamingOptions) -> None:
        """Read what is needed.

        Raises:
            UsageError: a pattern and a worklist are given, or the pattern or the key is unusable.
            InputError: the worklist cannot be read.
        """
        if options.case_id is not None and options.worklist:
            raise UsageError("a case is named by a pattern or by a worklist; leave one out")
        self._pattern = None if options.case_id is None else PathPattern(options.case_id)
        self._key = read_key(options.hash_ids) if options.hash_ids else None
        self._worklist = options.worklist
        self._read: tuple[int, int] | None = None
        self._ids: dict[str, str] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the worklist again if it has changed.

        Raises:
            InputError: it cannot be read; the last one that could be is still in use.
        """
        if self._worklist is None:
            return
        state = state_of_file(self._worklist, "worklist")
        if state != self._read:
            self._ids = read_worklist(self._worklist)
            self._read = state

    @property
    def may_change(self) -> bool:
        """Whether a case may get another id while its path stays."""
        return self._worklist is not None

    def id_of(self, found: FoundCase) -> str:
        """The id of a case, before it is hashed.

        Raises:
            InputError: nothing says what it is called.
        """
        path = _path_text(found)
        if self._worklist:
            if case := case_on_worklist(self._ids, path):
                return case
            raise InputError(f"{path} is not on the worklist {self._worklist}; add it there")
        if self._pattern:
            if case := self._pattern.id_of(path):
                return case
            raise InputError(f"{path} does not match the case id pattern {self._pattern.text!r}")
        return found.name

    def named(self, found: FoundCase) -> FoundCase:
        """The case under the name of its result; without an id it keeps its own, and fails."""
        try:
            named = replace(found, name=self.id_of(found))
        except InputError as error:
            named = replace(found, problem=found.problem or str(error))
        return replace(named, name=self.shown(named.name))

    def is_named(self, found: FoundCase) -> bool:
        """Whether something says what a case is called."""
        try:
            self.id_of(found)
        except InputError:
            return False
        return True

    @property
    def mark(self) -> str:
        """By which results under the same key are known; empty where ids are not hashed."""
        return self._key.mark if self._key else ""

    def shown(self, case: str) -> str:
        """The name of a case as it may leave the house."""
        return self._key.case(case) if self._key else case

    def shown_path(self, cell_class: str, path: str) -> str:
        """The path of a cell in its case as it may leave the house."""
        return self._key.path(cell_class, path) if self._key else path

    def shown_text(self, text: str) -> str:
        """A text that may name a case, as it may leave the house."""
        return NOT_WRITTEN if self._key and text else text

    def shown_stamp(self, stamp: str) -> str:
        """A smear's stamp so that nobody can try paths until one fits."""
        return self._key.stamp(stamp) if self._key else stamp

    def result(self, score: CaseScore) -> CaseScore:
        """A result as it may leave the house."""
        return self._key.result(score) if self._key else score

    def remarks(self, found: FoundCase, error: str = "") -> tuple[str, ...]:
        """What the result does not tell the person at this PC: whose it is, and why it failed."""
        if self._key is None:
            return ()
        whose = f"note: {found.name} is {self.named(found).name} in the results"
        return (whose, f"error: {found.name}: {error}") if error else (whose,)


def _path_text(found: FoundCase) -> str:
    """The path of a case with `/`, without the suffix of a zip."""
    path = os.path.abspath(found.path)  # noqa: PTH100 - Path.resolve raises for a link to itself
    if is_zip(path):
        path = path[: -len(".zip")]
    return unicode_text(path.replace(os.sep, "/"))
