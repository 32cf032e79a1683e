"""Makes one bundle from a spec: exports and compares every model, then writes all at once."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import onnx
import skl2onnx
import sklearn
from onnx import ModelProto

from export.bundle_file import check_written, write_zip
from export.card import card_from_manifest
from export.entry import entry_of
from export.fuse import encoder_sha256, fuse_graphs, head_graph
from export.golden import golden_npz
from export.graph import OPSET
from export.parity import check_parity
from export.reference_check import names_reference, reference_figures
from export.sources import ModelSources, load_sources
from export.spec import Spec, spec_from_fields, spec_from_file
from vexas_edge.bundle import models as schema
from vexas_edge.bundle.archive import file_entry, open_bundle
from vexas_edge.bundle.graphs import FAMILIAR, FEATURES_FILE, FUSED, GOLDEN, HEAD, ISOLATE
from vexas_edge.bundle.manifest import CARD, MANIFEST_SCHEMA, Manifest
from vexas_edge.bundle.models import LabelRule
from vexas_edge.errors import UsageError
from vexas_edge.host.libraries import load_library
from vexas_edge.smear.vocabulary import CELL_CLASSES
from vexas_edge.typing.familiar import bytes_from_familiar
from vexas_edge.version import __version__

onnxruntime = load_library("onnxruntime")


@dataclass(frozen=True, kw_only=True)
class ExportedModel:
    """One model, ready for a bundle.

    entry: what the manifest says of it.
    files: content by the file's name below the model's folder.
    sources: what it was exported from.
    """

    entry: schema.Network
    files: dict[str, bytes]
    sources: ModelSources


def write_bundle(
    spec: Spec | Mapping[str, Any] | str | os.PathLike[str],
    *,
    to: str | os.PathLike[str],
    encoder: Any = None,
    classifier: Any = None,
) -> Manifest:
    """Export every model of the spec and write the bundle; returns its manifest.

    Paths in the spec are relative to the folder of its TOML file, else to the current folder.

    Args:
        spec: a spec, its fields, or the path of its TOML file.
        to: the bundle to write.
        encoder, classifier: objects in memory instead of files: a torch.nn.Module and a fitted
            classifier or, if the spec has several models, mappings from the models' names to them.

    Raises:
        UsageError, InputError: something in the spec cannot be found or is not supported.
        ParityError: an export changed the numbers, or the bundle's scores are not the reference's.
        HostError: the bundle cannot be written, or did not read back as it was written.

    Nothing is written in any of these cases; a bundle that was there before stays as it was.
    """
    spec, folder = _resolved(spec)
    encoders, classifiers = _by_model(spec, encoder), _by_model(spec, classifier)
    sources = {
        name: load_sources(model, folder, encoders.get(name), classifiers.get(name))
        for name, model in spec.models.items()
    }
    models = {name: export_model(loaded, spec.label_rule) for name, loaded in sources.items()}
    manifest, files = _assembled(spec, models)
    manifest = _compared_with_reference(manifest, files, sources)
    write_zip(manifest, files, Path(to), check_written)
    return manifest


def export_model(sources: ModelSources, label_rule: LabelRule | None = None) -> ExportedModel:
    """One model, exported and compared with its sources on the spec's parity cells.

    Args:
        label_rule: None for the classifier's own.

    Raises:
        InputError: the parity cells cannot be used.
        ParityError: the export changed the numbers.
    """
    head = sources.head
    fused = fuse_graphs(
        sources.encoder.model,
        head,
        sources.scaling,
        encoding=sources.encoding,
    )
    graph = head_graph(head)
    cells = sources.parity_cells()
    parity = check_parity(
        fused,
        graph,
        cells=cells,
        scaling=sources.scaling,
        encoding=sources.encoding,
        reference=sources.encoder.reference,
        head=head,
    )
    files = _files(fused, graph, sources)
    measured = {FUSED: parity.fused, HEAD: parity.head}
    entries = _entries(files, measured)
    if sources.familiar:
        entries[FAMILIAR] = msgspec.structs.replace(
            entries[FAMILIAR],
            measured={"cases": sources.familiar.n_cases, "farthest": sources.familiar.farthest},
        )
    entries[FUSED] = msgspec.structs.replace(entries[FUSED], encoder=encoder_sha256(fused))
    return ExportedModel(entry=entry_of(sources, entries, label_rule), files=files, sources=sources)


def _compared_with_reference(
    manifest: Manifest, files: Mapping[str, bytes], sources: Mapping[str, ModelSources]
) -> Manifest:
    """The manifest with what was measured beside the user's own scores, if a spec names any."""
    if not any(map(names_reference, sources.values())):
        return manifest
    with TemporaryDirectory(prefix="vexas-export-") as scratch:
        path = Path(scratch, "compared.vxb")
        write_zip(manifest, files, path)
        measured = reference_figures(open_bundle(path), sources)
    provenance = {**manifest.provenance, "reference_scores": measured}
    return msgspec.structs.replace(manifest, provenance=provenance)


def _files(fused: ModelProto, head: ModelProto, sources: ModelSources) -> dict[str, bytes]:
    """The content of the model's files by name: all graphs, and the self-test made with them."""
    files = {
        FUSED: fused.SerializeToString(deterministic=True),
        HEAD: head.SerializeToString(deterministic=True),
        **({} if sources.masks is None else {ISOLATE: sources.masks}),
    }
    golden = golden_npz(files, sources.golden_cells(), sources.scaling.cells, sources.head.sizes)
    familiar, features = sources.familiar, "".join(f"{name}\n" for name in sources.features)
    known = {} if familiar is None else {FAMILIAR: bytes_from_familiar(familiar)}
    named = {FEATURES_FILE: features.encode()} if features else {}
    return {**files, GOLDEN: golden, **known, **named}


def _entries(
    files: Mapping[str, bytes], measured: Mapping[str, dict[str, Any]]
) -> dict[str, schema.FileEntry]:
    return {
        name: file_entry(content, OPSET if name in measured else None, measured.get(name))
        for name, content in files.items()
    }


def _resolved(
    spec: Spec | Mapping[str, Any] | str | os.PathLike[str],
) -> tuple[Spec, Path]:
    if isinstance(spec, Spec):
        return spec, Path()
    if isinstance(spec, Mapping):
        return spec_from_fields(dict(spec)), Path()
    return spec_from_file(Path(spec)), Path(spec).parent


def _by_model(spec: Spec, given: Any) -> Mapping[str, Any]:
    if given is None or isinstance(given, Mapping):
        return given or {}
    if len(spec.models) > 1:
        raise UsageError(
            f"the spec has {len(spec.models)} models; pass a dict from each model's name to its "
            "object"
        )
    return dict.fromkeys(spec.models, given)


def _assembled(
    spec: Spec, models: Mapping[str, ExportedModel]
) -> tuple[Manifest, dict[str, bytes]]:
    patients = {n: m.entry for n, m in models.items() if isinstance(m.entry, schema.Model)}
    cells = {n: m.entry for n, m in models.items() if isinstance(m.entry, schema.TypingModel)}
    for name, naming in cells.items():
        _check_cell_classes(name, naming)
    for name, entry in patients.items():
        _check_positive(spec.positive, name, entry)
    manifest = Manifest(
        schema_version=MANIFEST_SCHEMA,
        name=spec.name,
        version=spec.version,
        created=_today(),
        positive=spec.positive,
        lead=spec.lead,
        synthetic=spec.synthetic,
        models=patients,
        typing=cells,
        files={},
        provenance={
            "made_with": _versions(),
            "sources": {name: model.sources.encoder.source for name, model in models.items()},
            "training_data": spec.training_data,
            "performance": spec.performance,
            **({"stages": spec.stages} if spec.stages else {}),
        },
        intended_use=spec.intended_use,
        budgets=spec.budgets,
    )
    card = card_from_manifest(manifest).encode()
    files = {CARD: card}
    for name, model in models.items():
        files.update({f"models/{name}/{file}": data for file, data in model.files.items()})
    return msgspec.structs.replace(manifest, files={CARD: file_entry(card)}), files


def _check_cell_classes(name: str, entry: schema.TypingModel) -> None:
    if unknown := [one for one in entry.classes if one not in CELL_CLASSES]:
        raise UsageError(
            f"model {name!r} is to name cells, but its classes {', '.join(unknown)} are not "
            f"among {', '.join(CELL_CLASSES)}"
        )


def _check_positive(positive: str | None, name: str, entry: schema.Model) -> None:
    """Check that a model tells the positive class from another."""
    if positive not in entry.classes:
        raise UsageError(
            f"positive = {positive!r} is not one of the classes of model {name!r}, "
            f"{', '.join(entry.classes)}"
        )
    looks_for = entry.classes[1]
    if isinstance(entry.aggregation, schema.Bag) and looks_for != positive:
        raise UsageError(
            f"positive = {positive!r}, but model {name!r} is a bag that looks for {looks_for!r}"
        )


def _today() -> str:
    """The day of writing; SOURCE_DATE_EPOCH sets it, so that a build can be repeated exactly."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return now.date().isoformat()


def _versions() -> dict[str, str]:
    return {
        "vexas-edge": __version__,
        "python": platform.python_version(),
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "scikit-learn": sklearn.__version__,
        "skl2onnx": skl2onnx.__version__,
    }
