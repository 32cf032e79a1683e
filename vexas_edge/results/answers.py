"""What a result comes to, in one word of a closed list."""

from typing import Literal

from vexas_edge.results.values import CaseScore, ModelScore

AnswerKind = Literal[
    "over",
    "under",
    "unsure",
    "several",
    "counted",
    "too few",
    "abstained",
    "held",
    "failed",
    "drawn",
]


def answer_kind(result: CaseScore) -> AnswerKind:
    """Which answer a result gives, as it may be shown."""
    if result.status == "failed":
        return "failed"
    deciding = deciding_models(result)
    codes = {code for model in deciding for code in model.reasons}
    if result.status == "abstained":
        if "held" in codes or not result.models:  # which has no other reason
            return "held"
        return "too few" if codes == {"too_few_cells"} else "abstained"
    if result.bundle and result.bundle.synthetic:
        return "drawn"
    if not result.models:
        return "counted"
    scored = [model for model in deciding if model.score is not None]
    if all(model.call_uncertain for model in scored):
        return "unsure"
    if len(scored) > 1:
        return "several"
    return "over" if scored[0].call else "under"


def deciding_models(result: CaseScore) -> list[ModelScore]:
    """The lead model, or all models where none leads."""
    return [model for model in result.models if result.lead in (None, model.model)]
