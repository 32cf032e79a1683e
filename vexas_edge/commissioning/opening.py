"""Whether known slides open a model's domain gate, judged on slides that had no say in it.

Each slide is held against the centre of all the others. So no slide vouches for itself, and one
that lies far from the rest stays foreign.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.site_file import stated_performance
from vexas_edge.bundle.words import training_patients
from vexas_edge.commissioning.slides import SeenCase
from vexas_edge.commissioning.sources import clusters_apart, copied_slides, formats_apart
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
from vexas_edge.scoring.examining import judged_cells, with_slide_faults

Centre = NDArray[np.float64]

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
    models = list(sessions.bundle.manifest.models)
    copied = copied_slides(cases) if _are_known(cases) else ""
    of_site = [why for why in (copied, formats_apart(cases)) if why]
    why_not = {name: [*_reasons_before(cases, name, sessions), *of_site] for name in models}
    while True:
        opened = [name for name in models if not why_not[name]]
        scores = _scores_of_others_centres(cases, sessions, opened)
        known = {name: _performance(cases, scores[name], sessions) for name in models}
        refused = {
            name: why for name in opened if (why := _reasons_after(known[name], name, sessions))
        }
        if not refused:
            break
        why_not |= refused  # another model's faults of the slide may then hold the others
    return {
        name: JudgedModel(
            scores=scores[name],
            known=known[name],
            why_not=tuple(why_not[name]),
            centre=None if why_not[name] else np.mean(_means(cases, name), axis=0),
        )
        for name in models
    }


def _are_known(cases: Sequence[SeenCase]) -> bool:
    return all(case.label is not None for case in cases)


def _reasons_before(cases: Sequence[SeenCase], name: str, sessions: Sessions) -> list[str]:
    """What speaks against opening a model, whatever its scores are."""
    reference, model = sessions.reference(name), sessions.bundle.manifest.models[name]
    if reference is None or not reference.has_gate:
        missing = missing_gate_words({name: training_patients(model)})
        return [f"there is no gate to open: {missing}"]
    if _are_known(cases):
        why = [*_too_few(cases, sessions), _unproven(name, sessions)]
    else:
        why = [_NOT_KNOWN]
    judged = [one for case in cases for one in case.counted if one.name == name]
    statistics = [one.statistics for one in judged if one.statistics is not None]
    if len(statistics) > 1:
        positive = sessions.bundle.manifest.positive
        why.append(
            clusters_apart(np.stack(statistics), _within_kinds(cases, name, positive), reference)
        )
    return [reason for reason in why if reason]


def _within_kinds(cases: Sequence[SeenCase], name: str, positive: str) -> Centre:
    """Mean encodings of the cases, float64 (n, D), each less the mean of its kind.

    So a disease that a model sees well is not taken for another scanner.
    """
    judged = [case for case in cases if case.mean_of(name) is not None]
    means, kinds = np.stack(_means(cases, name)), np.array([c.label == positive for c in judged])
    for kind in np.unique(kinds):
        means[kinds == kind] -= means[kinds == kind].mean(axis=0)
    return means


def _too_few(cases: Sequence[SeenCase], sessions: Sessions) -> list[str]:
    positive = sessions.bundle.manifest.positive
    n_positives = sum(case.label == positive for case in cases)
    n_negatives = len(cases) - n_positives
    if n_negatives >= LEAST_NEGATIVES and n_positives >= LEAST_POSITIVES:
        return []
    return [
        f"there are {n_negatives} known negatives and {n_positives} known positives; at least "
        f"{LEAST_NEGATIVES} and {LEAST_POSITIVES} are needed"
    ]


def _unproven(name: str, sessions: Sessions) -> str:
    """Why the bundle gives nothing to hold the site to; empty if it does."""
    stated = stated_performance(sessions.bundle.manifest.models[name])
    if stated is None:
        return (
            "the bundle does not state how it performs; have its reference made anew with "
            "`vexas-workshop train reference`"
        )
    return states_too_little(stated)


def _reasons_after(known: Performance | None, name: str, sessions: Sessions) -> list[str]:
    """What speaks against opening a model, going by how it calls the known slides."""
    stated = stated_performance(sessions.bundle.manifest.models[name])
    if known is None or stated is None:
        return [_NOT_KNOWN]
    why = shortfalls(known, stated) if known.is_possible else []
    if known.is_enough:
        return why
    too_few = (
        f"with its gate centred on this site it answers for {known.negatives} known negatives and "
        f"{known.positives} known positives; at least {LEAST_NEGATIVES} and {LEAST_POSITIVES} are "
        "needed"
    )
    return [too_few, *why]


def _means(cases: Sequence[SeenCase], name: str) -> list[Centre]:
    """The mean encoding of each case that the model's gate can judge."""
    return [mean for case in cases if (mean := case.mean_of(name)) is not None]


def _scores_of_others_centres(
    cases: Sequence[SeenCase], sessions: Sessions, opened: Sequence[str]
) -> dict[str, tuple[ModelScore, ...]]:
    """Each model's results, where the gates of some are centred on the other cases."""
    means = {name: [case.mean_of(name) for case in cases] for name in opened}
    scores: dict[str, list[ModelScore]] = {name: [] for name in sessions.bundle.manifest.models}
    for place, case in enumerate(cases):
        centres = {name: _centre_without(place, of_cases) for name, of_cases in means.items()}
        for score in _answers(case, sessions, centres):
            scores[score.model].append(score)
    return {name: tuple(of_model) for name, of_model in scores.items()}


def _centre_without(place: int, means: Sequence[Centre | None]) -> Centre | None:
    """The centre of all cases but one; None where there is no other."""
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
    positive = sessions.bundle.manifest.positive
    calls = [
        (case.label == positive, score.call is True)
        for case, score in zip(cases, scores, strict=True)
        if score.status == "scored"
    ]
    return Performance(
        positives=calls.count((True, True)) + calls.count((True, False)),
        positives_called=calls.count((True, True)),
        negatives=calls.count((False, True)) + calls.count((False, False)),
        negatives_called=calls.count((False, True)),
    )
