"""What a manifest says of one model."""

from typing import Any

from export.sources import ModelSources
from vexas_edge.bundle.models import (
    FileEntry,
    LabelRule,
    Model,
    Network,
    TypingModel,
)


def entry_of(
    sources: ModelSources, files: dict[str, FileEntry], label_rule: LabelRule | None
) -> Network:
    """What the manifest says of a model."""
    spec = sources.spec
    if spec.role == "patients":
        return Model(
            **_network_fields(sources, files, label_rule),
            cells=spec.cells,
            covariates=sources.covariates,
            minimum_cells=spec.minimum_cells,
            threshold=spec.threshold,
            judged_typed=spec.judged_typed,
        )
    assert spec.largest_px is not None  # a spec has it for this role
    return TypingModel(
        **_network_fields(sources, files, label_rule),
        of=spec.of,
        limits=spec.limits,
        largest_px=spec.largest_px,
    )


def _network_fields(
    sources: ModelSources, files: dict[str, FileEntry], label_rule: LabelRule | None
) -> dict[str, Any]:
    """What the manifest says of every kind of model."""
    return {
        "instances": sources.instances,
        "aggregation": sources.aggregation(label_rule),
        "classes": sources.classes,
        "encoding": sources.encoding,
        "encoding_width": sources.n_features,
        "files": files,
    }
