"""What a page answers: one sentence of a closed list, whether its number may be used, what is next.

The sentences are worded for research. They name the model's class, and no disease.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vexas_edge.results.answers import AnswerKind, answer_kind, deciding_models
from vexas_edge.results.values import CaseScore

HEADLINES: dict[AnswerKind, str] = {
    "over": "The cells resemble the class “{positive}”: the score is at or over the threshold.",
    "under": "The cells do not resemble the class “{positive}”: the score is under the threshold.",
    "unsure": "No clear answer: the score is so near the threshold that other cells of the same "
    "smear might lie on its other side.",
    "several": "Several models answer, each for its own cells; none speaks for the whole case.",
    "too few": "No score: too few cells can be used.",
    "abstained": "No score: the model does not answer for these images.",
    "held": "No score is shown: these cells are filed under another case, too.",
    "failed": "No result: the smear could not be scored.",
    "drawn": "A demonstration: it was made with drawn cells, and says nothing about any patient.",
}

_NO_NUMBER = "No. There is no number for this smear."
MAY_BE_USED: dict[AnswerKind, str] = {
    "over": "Yes, for research, and only with its interval. It is not a diagnosis.",
    "under": "Yes, for research, and only with its interval. It excludes no disease.",
    "unsure": "Not as a yes or a no. The number may be used for research, and only with its "
    "interval.",
    "several": "Each model's number on its own, for research, and only with its interval; not as "
    "one answer for the case.",
    "too few": _NO_NUMBER,
    "abstained": _NO_NUMBER,
    "held": "No. First it must be known whose cells these are.",
    "failed": _NO_NUMBER,
    "drawn": "No. It only shows what a page looks like.",
}
# Said instead where nothing guards against images that a model does not know.
_UNGUARDED = (
    "Not yet. This bundle cannot tell whether the images are like those that it was trained on. "
    "Where somebody has checked that: "
)

_HAND_ON = "Nothing more needs to be done with this smear. Hand the number on with its interval."
NEXT: dict[AnswerKind, tuple[str, ...]] = {
    "over": (
        _HAND_ON,
        "Before anything is decided about a patient, confirm it by a test that defines the "
        "disease.",
    ),
    "under": (
        _HAND_ON,
        "If a disease is suspected for other reasons, go on looking for it.",
    ),
    "unsure": (
        "Export more cells of the same smear, and score it again.",
        "If there are no more cells, record the smear as near the threshold, without a yes or a "
        "no.",
    ),
    "several": ("Look at each model's answer below.",),
    "too few": ("Export more cells of the same smear, and score it again.",),
    "abstained": ("Do what “Why?” says above, export the smear again, and score it again.",),
    "held": (
        "Find out whether one slide was exported under two names.",
        "If the names are right, confirm the case with “vexas-edge results confirm”.",
    ),
    "failed": ("Mend what “Why?” names above, and score the smear again.",),
    "drawn": ("Score a smear of your own with a bundle that was trained on real cells.",),
}
_COMPARE = (
    "Compare focus, colour and size of the cells with those of the training images by eye, or ask "
    "who made the bundle for a domain gate."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PageAnswer:
    """What a page says first.

    reasons: why there is no number, with what to look at.
    """

    kind: AnswerKind
    headline: str
    may_be_used: str
    reasons: tuple[str, ...]
    next_steps: tuple[str, ...]


def answer_of(result: CaseScore, alike: Sequence[str] = ()) -> PageAnswer:
    """What the page of a result says first.

    Args:
        result: as it may be shown, so without an answer where that is held.
        alike: for a held result, the cases that half or more of its cells are in, too.
    """
    kind = answer_kind(result)
    positive = result.bundle.positive if result.bundle else ""
    has_number, unguarded = result.status == "scored", bool(result.missing_gate)
    may_be_used, steps = MAY_BE_USED[kind], NEXT[kind]
    if kind != "drawn" and has_number and unguarded:
        may_be_used = _UNGUARDED + may_be_used[0].lower() + may_be_used[1:]
        steps = (_COMPARE, *steps)
    return PageAnswer(
        kind=kind,
        headline=HEADLINES[kind].format(positive=positive),
        may_be_used=may_be_used,
        reasons=_reasons(result, kind, alike),
        next_steps=steps,
    )


def _reasons(result: CaseScore, kind: AnswerKind, alike: Sequence[str]) -> tuple[str, ...]:
    """Why there is no number."""
    if result.error is not None:
        return (result.error,)
    if kind == "held":  # its own explanation names a folder of this PC
        return (f"Half or more of its cells are those of: {', '.join(alike)}.",) if alike else ()
    if result.status == "scored":
        return ()
    texts = (text for model in deciding_models(result) for text in model.explanations)
    return tuple(dict.fromkeys(texts))
