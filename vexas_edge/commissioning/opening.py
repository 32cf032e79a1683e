"""Whether known slides open a model's domain gate, judged on slides that had no say in it.

Each slide is held against the centre of all the others. So no slide vouches for itself, and one
that lies far from the rest stays foreign.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.models import Bag
from vexas_edge.bundle.site_file import stated_performance
from vexas_edge.bundle.words import training_patients
from vexas_edge.commissioning.slides import SeenCase
from vexas_edge.commissioning.sources import (
    clusters_apart,
    copied_slides,
    formats_apart,
    sizes_apart,
    within_kinds,
)
from vexas_edge.domain.performance import (
    LEAST_NEGATIVES,
    LEAST_POSITIVES,
    Performance,
    shortfalls,
    states_too_little,
)
from vexas_edge.domain.words import missing_gate_words
from vexas_edge.results.values import ModelScore
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.answering import answered
from vexas_edge.scoring.images.examining import judged_cells, with_slide_faults

Centre = NDArray[np.float64]

# A model whose gate is centred on the site must answer for so many of each kind of known slides.
_LEAST_ANSWERED_PERCENT = 80
_OF_BAG = (
    "it is a bag, and no bundle states yet how a bag performs, so there is nothing to hold it to"
)
_NOT_KNOWN = "no known slides were given (--known)"


@dataclass(frozen=True, kw_only=True)
class JudgedModel:
    """What became of one model.

    scores: its result for each case, in their order, with the gate that it has from now on.
    known: how the known slides that it answers for are called; None without known slides.
    why_not: why its gate is not opened; empty where it is.
    centre: of the site, float64 (D,); None where it is not opened.
    """

    scores: tuple[ModelScore, ...]
    known: Performance | None
    why_not: tuple[str, ...]
    centre: Centre | None


def judge_site(cases: Sequence[SeenCase], sessions: Sessions) -> dict[str, JudgedModel]:
    """Judge each model by the cases.

    Args:
        cases: all with a label, or none.

    Raises:
        HostError, BundleError: as `score_case`.
    """
    models = sessions.bundle.manifest.models
    means = {name: [case.mean_of(name) for case in cases] for name in models}
    stated = {name: stated_performance(model) for name, model in models.items()}
    of_site = _reasons_of_site(cases)
    why_not = {
        name: [*_reasons_before(cases, name, means[name], stated[name], sessions), *of_site]
        for name in models
    }
    while True:
        opened = {name: of_cases for name, of_cases in means.items() if not why_not[name]}
        scores = _scores_of_others_centres(cases, sessions, opened)
        known = {name: _performance(cases, scores[name], sessions) for name in models}
        found = {
            name: _reasons_after(_kinds(cases, sessions), known[name], stated[name])
            for name in opened
        }
        if not any(found.values()):
            break
        why_not |= found  # another model's faults of the slide may then hold the others
    return {
        name: JudgedModel(
            scores=scores[name],
            known=known[name],
            why_not=tuple(why_not[name]),
            centre=_centre_without(None, means[name]) if name in opened else None,
        )
        for name in models
    }


def _are_known(cases: Sequence[SeenCase]) -> bool:
    return all(case.label is not None for case in cases)


def _kinds(cases: Sequence[SeenCase], sessions: Sessions) -> NDArray[np.bool_]:
    """Which cases are of the positive class, bool (n,)."""
    positive = sessions.bundle.manifest.positive
    return np.array([case.label == positive for case in cases])


def _reasons_of_site(cases: Sequence[SeenCase]) -> list[str]:
    """What speaks against opening any model."""
    copied = copied_slides(cases) if _are_known(cases) else ""
    return [why for why in (copied, formats_apart(cases), sizes_apart(cases)) if why]


def _reasons_before(
    cases: Sequence[SeenCase],
    name: str,
    means: Sequence[Centre | None],
    stated: Performance | None,
    sessions: Sessions,
) -> list[str]:
    """What speaks against opening a model, whatever its scores are."""
    reference, kinds = sessions.reference(name), _kinds(cases, sessions)
    if reference is None or not reference.has_gate:
        model = sessions.bundle.manifest.models[name]
        missing = missing_gate_words({name: training_patients(model)})
        return [f"there is no gate to open: {missing}"]
    if isinstance(sessions.bundle.manifest.models[name].aggregation, Bag):
        return [_OF_BAG]
    why = [_too_few(kinds), _unproven(stated)] if _are_known(cases) else [_NOT_KNOWN]
    judged = [
        (case.of(name).statistics, mean, kind)
        for case, mean, kind in zip(cases, means, kinds, strict=True)
        if mean is not None
    ]
    if len(judged) > 1:
        statistics, of_cases, their_kinds = map(np.array, zip(*judged, strict=True))
        why.append(clusters_apart(statistics, within_kinds(of_cases, their_kinds), reference))
    return [reason for reason in why if reason]


def _too_few(kinds: NDArray[np.bool_]) -> str:
    n_positives = int(kinds.sum())
    n_negatives = len(kinds) - n_positives
    if n_negatives >= LEAST_NEGATIVES and n_positives >= LEAST_POSITIVES:
        return ""
    return (
        f"there are {n_negatives} known negatives and {n_positives} known positives; at least "
        f"{LEAST_NEGATIVES} and {LEAST_POSITIVES} are needed"
    )


def _unproven(stated: Performance | None) -> str:
    """Why the bundle gives nothing to hold the site to; empty if it does."""
    if stated is None:
        return (
            "the bundle does not state how it performs; have its reference made anew with "
            "`vexas-workshop train reference`"
        )
    return states_too_little(stated)


def _reasons_after(
    kinds: NDArray[np.bool_], known: Performance | None, stated: Performance | None
) -> list[str]:
    """What speaks against opening a model, going by how it calls the known slides."""
    if known is None or stated is None:
        return [_NOT_KNOWN]
    why = [] if known.is_enough else [_too_few_answered(known)]
    n_positives = int(kinds.sum())
    why += _unanswered("positives", known.positives, n_positives)
    why += _unanswered("negatives", known.negatives, len(kinds) - n_positives)
    if known.is_possible:
        why += shortfalls(known, stated)
    return [f"with its gate centred on this site, {reason}" for reason in why]


def _too_few_answered(known: Performance) -> str:
    return (
        f"it answers for {known.negatives} known negatives and {known.positives} known positives; "
        f"at least {LEAST_NEGATIVES} and {LEAST_POSITIVES} are needed"
    )


def _unanswered(kind: str, answered_for: int, n: int) -> list[str]:
    """Whether too many of a kind of slides get no answer: those that do may be the easy ones."""
    if 100 * answered_for >= _LEAST_ANSWERED_PERCENT * n:
        return []
    return [
        f"it answers for {answered_for} of {n} known {kind}; at least {_LEAST_ANSWERED_PERCENT} % "
        "are needed"
    ]


def _scores_of_others_centres(
    cases: Sequence[SeenCase], sessions: Sessions, opened: Mapping[str, Sequence[Centre | None]]
) -> dict[str, tuple[ModelScore, ...]]:
    """Each model's results, where the gates of some are centred on the other cases.

    Args:
        opened: the mean encoding of each case, of these models.
    """
    scores: dict[str, list[ModelScore]] = {name: [] for name in sessions.bundle.manifest.models}
    for place, case in enumerate(cases):
        centres = {name: _centre_without(place, of_cases) for name, of_cases in opened.items()}
        for score in _answers(case, sessions, centres):
            scores[score.model].append(score)
    return {name: tuple(of_model) for name, of_model in scores.items()}


def _centre_without(place: int | None, means: Sequence[Centre | None]) -> Centre | None:
    """The centre of all cases but one, or of all; None where there is no other."""
    others = [mean for other, mean in enumerate(means) if mean is not None and other != place]
    return np.mean(others, axis=0) if others else None


def _answers(
    case: SeenCase, sessions: Sessions, centres: Mapping[str, Centre | None]
) -> list[ModelScore]:
    judged = [
        judged_cells(counted, sessions.reference(counted.name), centres.get(counted.name))
        for counted in case.counted
    ]
    return [answered(examined, sessions) for examined in with_slide_faults(judged)]


def _performance(
    cases: Sequence[SeenCase], scores: Sequence[ModelScore], sessions: Sessions
) -> Performance | None:
    """How the known slides are called that the model answers for; None without known slides."""
    if not _are_known(cases):
        return None
    calls = [
        (bool(kind), score.call is True)
        for kind, score in zip(_kinds(cases, sessions), scores, strict=True)
        if score.status == "scored"
    ]
    return Performance(
        positives=calls.count((True, True)) + calls.count((True, False)),
        positives_called=calls.count((True, True)),
        negatives=calls.count((False, True)) + calls.count((False, False)),
        negatives_called=calls.count((False, True)),
    )
