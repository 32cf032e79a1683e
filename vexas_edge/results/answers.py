"""What a result comes to, in one word of a closed list."""

from typing import Literal

from vexas_edge.results.values import CaseScore, ModelScore

AnswerKind = Literal[
    "over", "under", "unsure", "several", "too few", "abstained", "held", "failed", "drawn"
]


def answer_kind(result: CaseScore) -> AnswerKind:
    """Which answer a result gives, as it may be shown."""
    if result.status == "failed":
        return "failed"
    deciding = deciding_models(result)
    codes = {code for model in deciding for code in model.reasons}
    if result.status == "abstained":
        if "held" in codes:
            return "held"
        return "too few" if codes == {"too_few_cells"} else "abstained"
    if result.bundle and result.bundle.synthetic:
        return "drawn"
    if len(deciding) > 1:
        return "several"
    (model,) = deciding
    if model.call_uncertain:
        return "unsure"
    return "over" if model.call else "under"


def deciding_models(result: CaseScore) -> list[ModelScore]:
    """The lead model, or all models where none leads."""
    return [model for model in result.models if result.lead in (None, model.model)]
