"""The model card: what a bundle is, what it was trained on, what it must not be used for."""

from vexas_edge.bundle.manifest import Manifest
from vexas_edge.bundle.models import Model, TypingModel
from vexas_edge.bundle.words import (
    ENCODING_WORDS,
    aggregation_words,
    covariate_words,
    lines_of_instances,
    lines_of_typing,
    missing_gate,
    training_patients,
)


def card_from_manifest(manifest: Manifest) -> str:
    """The model card of a bundle as Markdown."""
    missing = missing_gate(manifest)
    ungated = [f"**{missing}**", ""] if missing else []
    warning = (
        ["**SYNTHETIC: made from drawn cells. Its scores mean nothing about any patient.**", ""]
        if manifest.synthetic
        else []
    )
    models = [line for name, model in manifest.models.items() for line in _model(name, model)]
    models += [line for name, model in manifest.typing.items() for line in _typing(name, model)]
    lines = [
        *ungated,
        f"# {manifest.name} {manifest.version}",
        "",
        *warning,
        *_purpose(manifest),
        "",
        "## Intended use",
        "",
        manifest.intended_use,
        "",
        "Not to be used alone for a decision about a patient, nor on images from an analyzer, "
        "stain or population other than those it was trained and checked on.",
        "",
        "## Training data",
        "",
        str(manifest.provenance["training_data"]),
        "",
        "## Measured performance",
        "",
        str(manifest.provenance["performance"]),
        "",
        "## Models",
        "",
        *models,
    ]
    return "\n".join(lines).rstrip() + "\n"


def _purpose(manifest: Manifest) -> list[str]:
    scores = f"Scores how much a smear's white cells look like `{manifest.positive}`."
    names = "Names white cells that have no class, each by what its image shows."
    return [*([scores] if manifest.models else []), *([names] if manifest.typing else [])]


def _typing(name: str, model: TypingModel) -> list[str]:
    return [
        f"### {name}",
        "",
        *(f"- {line}" for line in lines_of_typing(model)),
        *(f"- {line}" for line in lines_of_instances(model.instances)),
        f"- classes {', '.join(model.classes)}",
        "",
    ]


def _model(name: str, model: Model) -> list[str]:
    patients = training_patients(model)
    return [
        f"### {name}",
        "",
        f"- cells: {', '.join(model.cells) or 'all of a table'}; at least {model.minimum_cells}",
        *(f"- {line}" for line in lines_of_instances(model.instances)),
        f"- encodings of {model.encoding_width}, {ENCODING_WORDS[model.encoding]}",
        f"- classes {', '.join(model.classes)}",
        f"- {aggregation_words(model.aggregation)}",
        *(f"- beside the cells: {covariate_words(one)}" for one in model.covariates),
        f"- threshold {model.threshold:g}",
        *(
            [f"- held against its {patients} training patients (`reference.npz`)"]
            if patients
            else []
        ),
        "",
    ]
