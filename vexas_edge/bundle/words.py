"""A bundle's manifest in words."""

from typing import Any

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.graphs import CHEAPER, FAMILIAR, REFERENCE, graph_file
from vexas_edge.bundle.manifest import Manifest
from vexas_edge.bundle.models import (
    Aggregation,
    Bag,
    Images,
    Instances,
    Model,
    Network,
    TypingModel,
    Vectors,
    Weighting,
)
from vexas_edge.cells.limits import FeatureKind
from vexas_edge.covariates.covariate import Covariate
from vexas_edge.domain.words import missing_gate_words

ENCODING_WORDS = {"l2": "L2-normalised", "raw": "not normalised"}
_WEIGHTINGS: dict[Weighting, str] = {
    "mean": "equal weights",
    "topk": "whether they are among the highest",
    "topbottom": "whether they are among the highest or the lowest",
    "learned": "what each says itself",
    "attention": "attention",
}
_FEATURES: dict[FeatureKind, str] = {
    "symbol": "features, known by their symbols",
    "ensembl": "features, known by their Ensembl ids",
    "other": "features, known by their names",
}
_CHEAPER_FILES = frozenset(map(graph_file, CHEAPER))


def lines_from_bundle(bundle: Bundle) -> list[str]:
    """In lines: its purpose, what each model takes, and what was measured of each graph."""
    manifest = bundle.manifest
    lead = f", lead model {manifest.lead}" if manifest.lead else ""
    lines = [
        *filter(None, [missing_gate(manifest)]),
        f"{manifest.name} {manifest.version} ({manifest.created})",
        f"manifest sha256 {bundle.sha256}",
        *(["SYNTHETIC: made from drawn cells; its scores mean nothing."] * manifest.synthetic),
        f"intended use: {manifest.intended_use}",
        *([f"positive {manifest.positive}{lead}"] if manifest.positive else []),
    ]
    for name, model in manifest.networks.items():
        lines += ["", f"model {name}", *(f"  {line}" for line in _network_lines(model))]
    return lines


def missing_gate(manifest: Manifest) -> str:
    """Which models have no domain gate, and why; empty if all have one.

    A model of tables has one if it knows the cells that it was fitted on.
    """
    held_otherwise = manifest.takes_tables and all(
        FAMILIAR in model.files for model in manifest.models.values()
    )
    if held_otherwise:
        return ""
    return missing_gate_words({n: training_patients(m) for n, m in manifest.models.items()})


def training_patients(model: Model) -> int | None:
    """How many patients the model's reference was made from; None for a model without."""
    entry = model.files.get(REFERENCE)
    patients: int | None = entry.measured.get("patients") if entry else None
    return patients


def _network_lines(model: Network) -> list[str]:
    lines = [
        *(lines_of_typing(model) if isinstance(model, TypingModel) else []),
        *(_cells_lines(model) if isinstance(model, Model) else []),
        *lines_of_instances(model.instances),
        f"classes {', '.join(model.classes)}",
        *(_score_lines(model) if isinstance(model, Model) else []),
        f"encodings of {model.encoding_width}, {ENCODING_WORDS[model.encoding]}",
    ]
    for file, entry in sorted(model.files.items()):
        untested = file in _CHEAPER_FILES and not entry.tested
        remark = "; UNTESTED, not used for scoring" if untested else ""
        lines.append(f"{file}: {entry.bytes} bytes{remark}")
        lines += [f"  {line}" for line in _measured_lines(entry.measured)]
    return lines


def lines_of_instances(instances: Instances) -> list[str]:
    """What a model's cells are, and what becomes of them before the encoder."""
    return _lines_of_images(instances) if isinstance(instances, Images) else _of_vectors(instances)


def _lines_of_images(images: Images) -> list[str]:
    levels = ", ".join(map(str, images.background or ()))
    fate = "cropped" if images.larger == "crop" else "rejected"
    return [
        *(
            [f"normalising: the bare slide of each case is brought to {levels} (red, green, blue)"]
            if levels
            else []
        ),
        *(["isolation: each cell is cut out of its image first"] if images.isolation else []),
        f"canvas: {images.canvas_px} px, larger cells {fate}",
        f"preprocessing: {images.preprocessing.name}",
    ]


def _of_vectors(vectors: Vectors) -> list[str]:
    scaled = [
        *([f"to a sum of {vectors.library_size:g}"] if vectors.library_size else []),
        *(["log(1 + x)"] if vectors.log1p else []),
        "less the training cells' mean, by their spread",
        *([f"at most {vectors.clip:g} spreads away"] if vectors.clip else []),
    ]
    what = "counts as they were counted" if vectors.counts else "numbers as they are"
    share = f"{vectors.missing_share:.0%}".replace("%", " %")
    return [
        f"each cell: {what}, of {vectors.n_features} {_FEATURES[vectors.names]}",
        f"scaled: {', '.join(scaled)}",
        f"missing features: up to {share} are taken for the training cells' mean; with more, no "
        "score",
    ]


def lines_of_typing(model: TypingModel) -> list[str]:
    """Which names a model gives to which cells."""
    whose = f"called {' or '.join(model.of)}" if model.of else "that have no class"
    limits = ", ".join(f"{name} from {limit:.2f}" for name, limit in sorted(model.limits.items()))
    return [
        f"names cells {whose}, each for itself; images over {model.largest_px} px are no cells",
        f"names by the least probability: {limits or 'none'}",
        _familiar_text(model),
    ]


def _familiar_text(model: TypingModel) -> str:
    """Which smears get names at all."""
    if FAMILIAR in model.files:
        return "names no cell of a smear that is unlike those it was fitted on"
    if model.of:
        return "names cells of the smears that the model before it names"
    return "names cells of any smear, as nothing says what those look like that it was fitted on"


def _cells_lines(model: Model) -> list[str]:
    judged = "; judged on cells that a model had named, too" if model.judged_typed else ""
    cells = ", ".join(model.cells) or "all of a table"
    return [f"cells: {cells}; at least {model.minimum_cells}{judged}"]


def _score_lines(model: Model) -> list[str]:
    return [
        aggregation_words(model.aggregation),
        *(f"takes {covariate_words(covariate)}" for covariate in model.covariates),
        f"threshold {model.threshold:g}",
    ]


def aggregation_words(recipe: Aggregation) -> str:
    """How a model's cells become its score, in one line."""
    if isinstance(recipe, Bag):
        cells = "positions in cells" if recipe.level == "position" else "cells"
        return f"aggregation: a bag, {cells} weighed by {_WEIGHTINGS[recipe.weighting]}"
    return (
        f"aggregation: median of {recipe.draw_size} cells, {recipe.score_draws} draws, "
        f"seed {recipe.seed}; labels by {recipe.label_rule}"
    )


def covariate_words(covariate: Covariate) -> str:
    """What a covariate's values are, in one line."""
    if covariate.words:
        values = " or ".join(covariate.words)
    else:
        unit = f" {covariate.unit}" if covariate.unit else ""
        values = f"{covariate.low:g} to {covariate.high:g}{unit}"
    fate = {"abstain": "no score without it", "mean": "the mean where it is missing"}
    return f"{covariate.name}, {values}; {fate[covariate.missing]}"


def _measured_lines(measured: dict[str, Any]) -> list[str]:
    """Plain figures on one line, then one line per group of figures; lists become their lengths."""
    plain = {name: value for name, value in measured.items() if not isinstance(value, (dict, list))}
    groups = {name: value for name, value in measured.items() if isinstance(value, dict)}
    lists = {name: len(value) for name, value in measured.items() if isinstance(value, list)}
    lines = [_figures(plain | lists)] if plain or lists else []
    for name, group in groups.items():
        counted = {k: len(v) if isinstance(v, list) else v for k, v in group.items()}
        lines.append(f"{name}: {_figures(counted)}")
    return lines


def _figures(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
