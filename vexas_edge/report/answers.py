"""What a page answers: one sentence of a closed list, whether its number may be used, what is next.

The sentences are worded for research. They name the model's class, and no disease.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from vexas_edge.domain.faults import SEEN
from vexas_edge.results.answers import AnswerKind, answer_kind, deciding_models
from vexas_edge.results.values import CaseScore

HEADLINES: dict[AnswerKind, str] = {
    "over": "The score is at or over the threshold for the class “{positive}”.",
    "under": "The score is under the threshold for the class “{positive}”.",
    "unsure": "No clear answer: the interval of the score spans the threshold, so other cells of "
    "the same {sample} might give the other answer.",
    "several": "Several models answer, each for its own cells; none speaks for the whole case.",
    "counted": "A count of cells by class; no model of this bundle scores a case.",
    "too few": "No number: too few cells can be used.",
    "abstained": "No number: the model does not answer for these cells.",
    "held": "No number is shown: the cells are filed under another case, too.",
    "failed": "No number: the {sample} could not be read.",
    "drawn": "A demonstration: it was made with drawn cells, and says nothing about any patient.",
}

# Said instead of a number that stands, but is not to be used: while another case that has its cells
# is held, and when a newer result is there.
WAITING = "The number must wait: the cells are filed under another case, too."
REPLACED = "Replaced: there is a newer result of this case."

_NO_NUMBER = "There is no number, so there is nothing to use."
MAY_BE_USED: dict[AnswerKind, str] = {
    "over": "Yes, for research, and only with its interval. It is not a diagnosis.",
    "under": "Yes, for research, and only with its interval. A low score rules out no disease.",
    "unsure": "Not as a yes or a no. The number may be used for research, and only with its "
    "interval.",
    "several": "Each model's number on its own, for research, and only with its interval; not as "
    "one answer for the case.",
    "counted": "The count may be used for research, and only with its intervals. It is not a "
    "laboratory's result.",
    "too few": _NO_NUMBER,
    "abstained": _NO_NUMBER,
    "held": "No. First it must be found out whose cells these are.",
    "failed": _NO_NUMBER,
    "drawn": "No. It only shows what a page looks like.",
}
# Said instead where the cells are in order, and the model must know more of the patient.
UNKNOWN_PATIENT = (
    "No number: what the model must know of the patient is missing, or cannot be right."
)
_AGAIN_WITH_IT = "Then score the smear again; its images need not be exported anew."
# Said instead where nothing guards against cells that a model does not know.
_UNGUARDED = (
    "Not yet. This bundle cannot tell whether the cells are like those that it was trained on. "
    "Where somebody has checked that: "
)
_REPLACED_USE = "No. A newer result of this case has taken its place."
_REPLACED_NEXT = ("Look at the page of the newer result, to which the index leads.",)
_SAME = "Only if it is sure that these are the cells of this case, and not of {names}: "
_UNCLEAR = "Not yet. First it must be found out whose cells these are."

_HAND_ON = (
    "Nothing more needs to be done with this smear. Whoever gets the number must get its interval, "
    "too."
)
_MORE_CELLS = (
    "Export more cells of the same slide into the same folder, as many as there are, and score it "
    "again under the same name."
)
_AGAIN = (
    "Then scan or export the smear anew, whichever was at fault, and score it again. If it has no "
    "number again, tell who is in charge of the analyzer."
)
_WHOSE = (
    "Find out whether one slide was exported under two names, or into the other's folder.",
    "If so, export both smears again, each under its right name into an empty folder, and score "
    "them. Let who runs vexas-edge remove what was wrong.",
)
# What follows the line's end is a command.
_CONFIRM = (
    "Only if both are right, as where one patient has two names, let who runs vexas-edge confirm "
    "it. After that, both pages show what they answer.\n"
    "vexas-edge results confirm RESULTS_FOLDER {held}"
)
NEXT: dict[AnswerKind, tuple[str, ...]] = {
    "over": (
        _HAND_ON,
        "Before anything is decided about a patient, the disease must be confirmed by the test "
        "that it is diagnosed by.",
    ),
    "under": (_HAND_ON, "If a disease is suspected for other reasons, go on looking for it."),
    "unsure": (
        _MORE_CELLS,
        "If there are no more cells, record the smear as near the threshold, without a yes or a "
        "no.",
    ),
    "several": ("Look at each model's answer below.",),
    "counted": ("Look at the count below, and at which cells a model has named.",),
    "too few": (_MORE_CELLS,),
    "abstained": (_AGAIN,),
    "held": (*_WHOSE, _CONFIRM),
    "failed": (
        "Export or copy the smear again, and score it again. If it cannot be read again, tell who "
        "is in charge of the analyzer.",
    ),
    "drawn": ("Score a smear of your own with a bundle that was trained on real cells.",),
}
# The same where cells are the rows of a table.
_WHOSE_TABLE = (
    "Find out whether one sample was written into two tables, or into the other's.",
    "If so, make both tables again, each under its right name, and score them. Let who runs "
    "vexas-edge remove what was wrong.",
)
_MORE_ROWS = "Put more cells of the same sample into the table, and score it again."
_NEXT_OF_TABLE: dict[AnswerKind, tuple[str, ...]] = {
    **NEXT,
    "over": (_HAND_ON.replace("smear", "sample"), NEXT["over"][1]),
    "under": (_HAND_ON.replace("smear", "sample"), NEXT["under"][1]),
    "unsure": (_MORE_ROWS, NEXT["unsure"][1].replace("smear", "sample")),
    "too few": (_MORE_ROWS,),
    "abstained": (
        "Then make the table anew, and score it again. If it has no number again, tell who made "
        "the bundle.",
    ),
    "held": (*_WHOSE_TABLE, _CONFIRM),
    "failed": ("Mend what is named above, and score the table again.",),
}
_COMPARE_TABLES = "Ask who made the bundle for one that knows the cells that it was trained on."
_COMPARE = (
    "Compare focus, colour and size of the cells with those of the training images by eye, or ask "
    "who made the bundle for a domain gate."
)
# What a model must know of the patient beside the cells.
_OF_PATIENT = {
    "missing_covariate": "Find out what is missing of the patient, and let who runs vexas-edge add "
    "it, such as to the table of covariates.",
    "impossible_covariate": "Check what was given of the patient, and in which unit, and let who "
    "runs vexas-edge give the right value.",
}
# What to do first, by why a model abstains; by the same reason, where another model's slide has it.
_BY_REASON = {
    **{family.replace(" ", "_"): f"Check {remedy}." for family, (_, remedy) in SEEN.items()},
    "lamp": "Check lamp, exposure and white balance.",
    "cells_not_named": "Export the cells with their classes, or have a model that names cells "
    "fitted on smears of this analyzer.",
    "too_few_cells": _MORE_CELLS,
    "too_many_unreadable": "Export or copy the smear again.",
    "too_many_rejected": "Look for touching or cut cells, and check focus and stain.",
    "cut_out_cells": "Export the images with the slide around the cell, as the analyzer shows it.",
    "unlike_training": "Check what is named above.",
    "missing_features": "Find out why these features are missing: look at the names that the table "
    "has, their species and their kind.",
    **_OF_PATIENT,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherCases:
    """The other cases of a results folder that a result's page must tell of.

    unclear: the cases that share half or more of the smaller one's cells with it, as long as it or
    they are held.
    held: the cases that are held for that.
    same_cells: other cases with the very same cells.
    replaced: whether a newer result has taken its place.
    withheld: whether its answer may not be shown.
    newer_is_held: whether a newer result of this case is held.
    """

    unclear: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    same_cells: tuple[str, ...] = ()
    replaced: bool = False
    withheld: bool = False
    newer_is_held: bool = False


NO_OTHERS = OtherCases()


@dataclass(frozen=True, kw_only=True, slots=True)
class PageAnswer:
    """What a page says first.

    reasons: why there is no number, or why it may be another case's.
    is_barred: whether there is a number, and it is not to be used.
    """

    kind: AnswerKind
    is_barred: bool
    headline: str
    may_be_used: str
    reasons: tuple[str, ...]
    next_steps: tuple[str, ...]


def answer_of(result: CaseScore, others: OtherCases) -> PageAnswer:
    """What the page of a result says first.

    Args:
        result: as it may be shown, so without an answer where that is held.
    """
    kind = answer_kind(result)
    positive = result.bundle.positive if result.bundle else ""
    sample = "table" if result.of_table else "smear"
    headline, (may_be_used, steps) = (
        HEADLINES[kind].format(positive=positive, sample=sample),
        _use_of(result, kind),
    )
    whose = _WHOSE_TABLE if result.of_table else _WHOSE
    if kind == "abstained" and _lacks_covariates_alone(result):
        headline = UNKNOWN_PATIENT
    if kind == "held":
        steps = (*whose, _confirming(others.held or (result.case,)))
    is_barred = result.status == "scored" and (others.replaced or bool(others.unclear))
    if others.replaced:
        headline, may_be_used, steps = REPLACED, _REPLACED_USE, _REPLACED_NEXT
    elif is_barred:
        headline, may_be_used = WAITING, _UNCLEAR
        steps = (*whose, _confirming(others.held))
    elif others.same_cells and result.status == "scored":
        may_be_used = _SAME.format(names=", ".join(others.same_cells)) + _uncapitalised(may_be_used)
        steps = (*whose, *steps)
    return PageAnswer(
        kind=kind,
        is_barred=is_barred,
        headline=headline,
        may_be_used=may_be_used,
        reasons=tuple(_reasons(result, kind, others)),
        next_steps=steps,
    )


def _use_of(result: CaseScore, kind: AnswerKind) -> tuple[str, tuple[str, ...]]:
    """Whether the number may be used, and what is next, as far as the result itself says."""
    of_kind = _NEXT_OF_TABLE if result.of_table else NEXT
    may_be_used, steps = MAY_BE_USED[kind], of_kind[kind]
    if kind == "abstained":
        last = (_AGAIN_WITH_IT,) if _lacks_covariates_alone(result) else steps
        return may_be_used, (*_first_steps(result), *last)
    if kind != "drawn" and result.status == "scored" and result.missing_gate:
        compare = _COMPARE_TABLES if result.of_table else _COMPARE
        return _UNGUARDED + _uncapitalised(may_be_used), (compare, *steps)
    return may_be_used, steps


def _lacks_covariates_alone(result: CaseScore) -> bool:
    """Whether nothing else keeps a model from answering."""
    codes = {code for model in deciding_models(result) for code in model.reasons}
    return bool(codes) and codes <= _OF_PATIENT.keys()


def _uncapitalised(text: str) -> str:
    return text[0].lower() + text[1:]


def _confirming(cases: tuple[str, ...]) -> str:
    end = "-- " if any(case.startswith("-") for case in cases) else ""
    return _CONFIRM.format(held=end + " ".join(map(_quoted, cases)))


def _quoted(case: str) -> str:
    """A name as an argument of any command line; by the rules of POSIX where there is no such."""
    if all(c.isalnum() or c in "._-" for c in case):
        return case
    return f'"{case}"' if all(c.isalnum() or c in "._- ,()" for c in case) else shlex.quote(case)


def _first_steps(result: CaseScore) -> Iterator[str]:
    """What to do about each reason to abstain, said once."""
    codes = (code for model in deciding_models(result) for code in model.reasons)
    by_reason = {**_BY_REASON, "too_few_cells": _MORE_ROWS} if result.of_table else _BY_REASON
    steps = (by_reason.get(code.removeprefix("slide_"), "") for code in codes)
    yield from dict.fromkeys(filter(None, steps))


def _reasons(result: CaseScore, kind: AnswerKind, others: OtherCases) -> Iterator[str]:
    """Why there is no number, or why it may be another case's."""
    if others.unclear:
        names = ", ".join(others.unclear)
        yield (
            f"{result.case} shares cells with {names}: half or more of those of the smaller case."
        )
    if others.newer_is_held:
        yield "A newer result of this case is held: see its page."
    if others.same_cells:
        names = ", ".join(others.same_cells)
        yield f"The very same cells are filed under {names}, too."
    if result.error is not None:
        yield result.error
    elif result.status == "abstained" and kind != "held":  # which names a folder of this PC
        texts = (text for model in deciding_models(result) for text in model.explanations)
        yield from map(_sentence, dict.fromkeys(texts))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('?') else '.'}"
