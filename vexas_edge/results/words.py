"""A result in words for a person: one line, and the remarks beside it."""

from collections import Counter

import msgspec

from vexas_edge.results.grounds import MissingFeatures
from vexas_edge.results.typing import CellTyping, Retyping
from vexas_edge.results.values import CaseScore, ModelScore
from vexas_edge.smear.case import LINKS_REMEDY
from vexas_edge.text import listed

_CELLS_NAMED_AT_MOST = 5


def json_from_score(score: CaseScore) -> bytes:
    """The result as one line of JSON, without the single cells, which are in its file."""
    fields = msgspec.to_builtins(score)
    for model in fields["models"]:
        for of_cells in ("cells", "pulls", "heaviest", "typical"):
            del model[of_cells]
    del fields["typed_cells"], fields["bystanders"]
    return msgspec.json.encode(fields)


def remarks_from_score(result: CaseScore) -> list[str]:
    """Why the case failed, which cells could not be used, and how many files were not scored."""
    case, lines = result.case, []
    if result.error is not None:
        lines.append(f"error: {case}: {result.error}")
    for cell in result.unreadable[:_CELLS_NAMED_AT_MOST]:
        lines.append(f"warning: {case}: {cell.path}: {cell.detail or cell.reason}")
    more = len(result.unreadable) - _CELLS_NAMED_AT_MOST
    if more > 0:
        lines.append(f"warning: {case}: {more} more cells could not be used")
    if result.rejected:
        reasons = Counter(cell.reason for cell in result.rejected)
        shown = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items()))
        why = "" if result.of_table else " as not one whole cell"
        lines.append(f"warning: {case}: rejected{why}: {shown}")
    if result.duplicates:
        n = len(result.duplicates)
        lines.append(f"note: {case}: copies of other cells, counted once: {n}")
    if result.typing:
        lines.append(_typing_text(case, result.typing))
    if result.retyping and result.retyping.n_asked:
        lines.append(f"note: {case}: {_retyping_text(result.retyping)}")
    for model in result.models:
        if model.missing and model.missing.share <= model.missing.allowed:
            lines.append(_missing_text(case, model.model, model.missing))
        if model.typing_unjudged:
            lines.append(
                f"warning: {case}: {model.n_typed} of the {model.n_cells} cells that {model.model} "
                "goes by were named by a model, and nobody has judged its scores on such cells"
            )
    if result.ignored:
        counts = ", ".join(f"{reason} {n}" for reason, n in result.ignored.items())
        lines.append(f"note: {case}: files that were not scored: {counts} (see vexas-edge scan)")
    if "link_leaves_case" in result.ignored:
        lines.append(f"note: {case}: {LINKS_REMEDY}")
    return lines


def _missing_text(case: str, model: str, missing: MissingFeatures) -> str:
    share = f"{missing.share:.1%}".replace("%", " %")
    return (
        f"note: {case}: {missing.number} features of {model} ({share}) are not in the table, such "
        f"as {listed(missing.examples)}; each was taken for the mean of the training cells"
    )


def _typing_text(case: str, typing: CellTyping) -> str:
    """How cells were named, in one line."""
    strangeness = typing.strangeness
    if strangeness and strangeness.is_strange:
        return (
            f"warning: {case}: none of its {typing.n_asked} cells without a class is named, since "
            "they look unlike those that the model was fitted on (median distance "
            f"{strangeness.distance:.2f}, at most {strangeness.farthest:.2f}): another analyzer, "
            "stain or focus, or other cells"
        )
    return (
        f"note: {case}: of {typing.n_asked} cells without a class a model named {typing.n_named}; "
        "the others are not scored"
    )


def _retyping_text(found: Retyping) -> str:
    """What models would name otherwise, in one line."""
    if found.strangeness and found.strangeness.is_strange:
        return (
            f"the {found.n_asked} cells with a class look unlike those that the model was fitted "
            "on, so it would name none of them"
        )
    pairs = [
        (n, f"{given.replace('_', ' ')} as {name.replace('_', ' ')} {n}")
        for given, names in found.otherwise.items()
        for name, n in names.items()
    ]
    shown = listed(text for _, text in sorted(pairs, key=lambda pair: -pair[0]))
    n_other = sum(n for n, _ in pairs)
    return (
        f"of {found.n_asked} cells of classes that it knows a model was sure of {found.n_sure} and "
        f"would name {n_other} otherwise, by which nothing goes{': ' if shown else ''}{shown}"
    )


def line_from_score(result: CaseScore) -> str:
    """One line for a person: each model's score, or why it has none."""
    if result.error is None and result.bundle and result.bundle.positive is None:
        said = _differential_text(result) if result.status == "scored" else "abstained: held"
        return f"{_mark(result)}{result.case}: {said}"
    mark = _mark(result)
    whys = {(model.status, model.reasons, model.explanations) for model in result.models}
    if len(result.models) > 1 and len(whys) == 1 and result.models[0].reasons:
        parts = _why(result.models[0])  # once for all models
    else:
        parts = "; ".join(_model_text(model) for model in result.models)
    missing = f"{result.missing_gate}: " if result.missing_gate else ""
    return f"{missing}{mark}{result.case}: {result.status}: {parts}"


def _mark(result: CaseScore) -> str:
    """What stands before a result that drawn cells have a part in."""
    bundles = (result.bundle, result.types)
    return "[SYNTHETIC] " if any(one and one.synthetic for one in bundles) else ""


def _differential_text(result: CaseScore) -> str:
    """The differential count in one line."""
    shares = (
        f"{name.replace('_', ' ')} {count.n}"
        + ("" if count.share is None else f" ({100 * count.share:.0f} %)")
        for name, count in sorted(result.differential.items(), key=lambda pair: -pair[1].n)
    )
    return ", ".join(shares) or "no cell has a name"


def _model_text(model: ModelScore) -> str:
    if model.score is None:
        return f"{model.model} {model.status}: {_why(model)}"
    side = "at or over" if model.call else "under"
    unsure = ", but other cells might not be" if model.call_uncertain else ""
    alone = "" if model.cells_alone is None else f"{model.cells_alone:.3f} by the cells alone; "
    return (
        f"{model.model} {model.score:.3f}{_with_covariates(model)} ({alone}"
        f"{model.interval_low:.2f} to {model.interval_high:.2f} for as many other cells), "
        f"{side} the threshold {model.threshold:g}{unsure} ({model.n_cells} cells)"
    )


def _with_covariates(model: ModelScore) -> str:
    known = [f"{covariate.name} {covariate.given or 'not given'}" for covariate in model.covariates]
    return f" with {', '.join(known)}" if known else ""


def _why(model: ModelScore) -> str:
    pairs = zip(model.reasons, model.explanations, strict=True)
    return ", and ".join(f"{text} ({reason})" for reason, text in pairs)
