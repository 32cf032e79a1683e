"""The index of a results folder: a line for each result, with filters that need no script."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from vexas_edge.report.html import filled
from vexas_edge.results.answers import AnswerKind
from vexas_edge.results.values import ResultState

# What a result comes to, in a few words, and the filter that shows it.
_SHORT: dict[AnswerKind, tuple[str, str]] = {
    "over": ("at or over the threshold", "clear"),
    "under": ("under the threshold", "clear"),
    "several": ("each model for itself", "clear"),
    "counted": ("a count of cells", "clear"),
    "drawn": ("a demonstration", "clear"),
    "unsure": ("near the threshold", "unsure"),
    "too few": ("no score: too few cells", "none"),
    "abstained": ("no score", "none"),
    "held": ("held: the cells of another case, too", "held"),
    "failed": ("failed", "failed"),
}
# In the order in which they are offered; the first shows all but what was replaced.
FILTERS = {
    "now": "all current",
    "clear": "with an answer",
    "unsure": "near the threshold",
    "none": "no score",
    "held": "whose cells?",
    "failed": "failed",
    "replaced": "replaced",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexRow:
    """One result.

    rows: its rows of cases.csv, as they are shown.
    page: the path of its page in the results folder, with `/`; empty if it has none.
    waits: whether another case that has its cells is held.
    """

    number: int
    state: ResultState
    rows: Sequence[Mapping[str, Any]]
    page: str
    waits: bool = False

    @property
    def first(self) -> Mapping[str, Any]:
        return self.rows[0]

    @property
    def answer(self) -> str:
        """What it comes to, in words."""
        return "must wait: whose cells are these?" if self.waits else self._short[0]

    @property
    def group(self) -> str:
        """The filter that shows it."""
        if self.state == "replaced":
            return "replaced"
        return "held" if self.waits else self._short[1]

    @property
    def _short(self) -> tuple[str, str]:
        return _SHORT[self.first["answer"]]

    @property
    def started(self) -> str:
        """When it was scored, to the minute; empty for a failure."""
        return str(self.first.get("started", ""))[:16].replace("T", " ")

    @property
    def bundle(self) -> str:
        """What made it: bundle, version, and the site file if there was one."""
        made = str(self.first.get("bundle", ""))
        site = str(self.first.get("site", ""))[:8]
        return f"{made}, site {site}" if site else made

    @property
    def link(self) -> str:
        return quote(self.page)

    @property
    def scores(self) -> list[str]:
        """Each model's score with its interval; none where the case has no answer, or must wait."""
        if self.waits or self.first.get("case_status") != "scored":
            return []
        return [
            f"{row['model']} {row['score']:.3f} ({row['interval_low']:.2f} to "
            f"{row['interval_high']:.2f})"
            for row in self.rows
            if "score" in row
        ]

    @property
    def remarks(self) -> list[str]:
        """What a person should know beside that."""
        flags = filter(None, self.first.get("flags", "").split(";"))
        reasons = (row.get("reasons", "").split(";") for row in self.rows)
        codes = [code.replace("_", " ") for of_row in reasons for code in of_row if code]
        texts = (self.first.get("error"), self.first.get("missing_gate"))
        own = [text for text in texts if text]
        return list(dict.fromkeys([*own, *codes, *(flag.replace("_", " ") for flag in flags)]))


def index_of(rows: Sequence[IndexRow]) -> bytes:
    """The index of these results, the newest first."""
    counts = Counter(row.group for row in rows)
    counts["now"] = len(rows) - counts["replaced"]
    notices = dict.fromkeys(row.first["notice"] for row in rows)
    newest_first = sorted(rows, key=lambda row: -row.number)
    html = filled(
        "index.html", rows=newest_first, filters=FILTERS, counts=counts, notices=list(notices)
    )
    return html.encode()
