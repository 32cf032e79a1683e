"""The page of one result: HTML that holds all it shows, and the same bytes from the same input."""

import hashlib
import re
from dataclasses import dataclass

import msgspec

from vexas_edge.report.answers import NO_OTHERS, OtherCases, PageAnswer, answer_of
from vexas_edge.report.galleries import Gallery, galleries_of
from vexas_edge.report.html import filled
from vexas_edge.report.lights import Light, lights_of
from vexas_edge.report.pictures import Pictures
from vexas_edge.report.strip import Strip, strip_of
from vexas_edge.report.table_lights import lights_of_table
from vexas_edge.results.values import CaseScore, ModelScore, UsedCell
from vexas_edge.text import hash_of
from vexas_edge.version import __version__

_MADE_FROM = '<meta name="result" content="%s">'
_MARK = re.compile(rb'<meta name="others" content="([0-9a-f]{16})">')
_MAKER = re.compile(rb'<meta name="generator" content="vexas-edge ([0-9A-Za-z.+-]+)">')
_PICTURE = re.compile(rb'<img src="(data:[^"]+)" data-file="([0-9a-f]{64})"')
_END = "\n<!-- sha256 of the above %s -->\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelPart:
    """What a page says of one model.

    leads: whether its answer is the case's.
    shows_score: whether its numbers may be shown.
    why: why it has none; empty where the page has said so already.
    """

    score: ModelScore
    leads: bool
    shows_score: bool
    why: tuple[str, ...]
    strip: Strip | None
    lights: tuple[Light, ...]
    galleries: tuple[Gallery, ...]


def cells_on_page(result: CaseScore) -> tuple[UsedCell, ...]:
    """The cells that the page of a result shows pictures of.

    Args:
        result: as it may be shown.
    """
    galleries = galleries_of(result).values()
    return tuple(c.record for of_model in galleries for each in of_model for c in each.cells)


def page_of(
    result: CaseScore,
    result_sha256: str,
    pictures: Pictures | None = None,
    others: OtherCases = NO_OTHERS,
) -> bytes:
    """The page of a result.

    Args:
        result: as it may be shown, so without an answer where that is held.
        result_sha256: of the file of the result.
        pictures: of `cells_on_page`, as far as they are at hand; None shows none.
        others: as `answer_of` has them.
    """
    answer: PageAnswer = answer_of(result, others)
    html = filled(
        "case.html",
        result=result,
        result_sha256=result_sha256,
        mark=mark_of(others),
        version=__version__,
        answer=answer,
        parts=_parts(result),
        pictures=pictures,
    )
    return _ended(html)


def is_page_of(page: bytes, result_sha256: str) -> bool:
    """Whether a page is as it was made, from the result whose file has this hash."""
    content, _, _ = page.rpartition(_END.partition("%")[0].encode())
    made_from = (_MADE_FROM % result_sha256).encode()
    return _ended(content.decode(errors="replace")) == page and made_from in content


def mark_of(others: OtherCases) -> str:
    """By which it is known whether a page shows how its result stands today."""
    said = msgspec.to_builtins(others)
    return hash_of(*(f"{name} {value}" for name, value in sorted(said.items()) if value))[:16]


def shown_mark(page: bytes) -> str:
    """The mark of how the result stood when a page was made, from the page or its beginning."""
    found = _MARK.search(page)
    return found[1].decode() if found else ""


def maker_of(page: bytes) -> str:
    """The version of vexas-edge that made a page."""
    found = _MAKER.search(page)
    return found[1].decode() if found else ""


def pictures_in(page: bytes) -> Pictures | None:
    """The pictures of a page; None if it shows none."""
    return {sha.decode(): address.decode() for address, sha in _PICTURE.findall(page)} or None


def _ended(html: str) -> bytes:
    return (html + _END % hashlib.sha256(html.encode()).hexdigest()).encode()


def _parts(result: CaseScore) -> list[ModelPart]:
    """The models, the lead first."""
    is_scored = result.status == "scored"
    galleries = galleries_of(result)
    ordered = sorted(result.models, key=lambda model: model.model != result.lead)
    return [
        ModelPart(
            score=model,
            leads=model.model == result.lead,
            shows_score=is_scored and model.score is not None,
            why=model.explanations if len(ordered) > 1 and "held" not in model.reasons else (),
            strip=strip_of(model) if is_scored else None,
            lights=(lights_of_table if result.of_table else lights_of)(model),
            galleries=galleries[model.model],
        )
        for model in ordered
    ]
