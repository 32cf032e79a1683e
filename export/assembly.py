"""Makes one bundle from a spec: exports and compares every model, then writes all at once."""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import onnx
import skl2onnx
import sklearn
from onnx import ModelProto

from export.card import card_from_manifest
from export.classifier import Classifier, check_supported, own_label_rule
from export.fuse import embedding_width, fuse_graphs, head_from_classifier
from export.golden import golden_npz
from export.graph import OPSET
from export.inputs import Encoder, load_cells, load_classifier, load_encoder
from export.parity import check_parity
from export.preprocessing import Preprocessing, preprocessing_named
from export.reference_scores import compare_with_reference, distinct_cells, figures
from export.reference_trials import Pipeline, check_reference
from export.spec import ModelSpec, Spec, spec_from_fields, spec_from_file
from export.written import check_written
from vexas_edge.bundle import manifest as schema
from vexas_edge.bundle.archive import file_entry, open_bundle, write_zip
from vexas_edge.bundle.graphs import FUSED, GOLDEN, HEAD, ISOLATE
from vexas_edge.bundle.manifest import CARD, Manifest
from vexas_edge.cells.canvas import Canvas
from vexas_edge.errors import InputError, UsageError
from vexas_edge.host.libraries import load_library
from vexas_edge.runtime.isolator import opened_isolator
from vexas_edge.version import __version__

onnxruntime = load_library("onnxruntime")


@dataclass(frozen=True, kw_only=True)
class ExportedModel:
    """One model, ready for a bundle.

    entry: what the manifest says of it.
    files: content by the file's name below the model's folder.
    classes: the classifier's classes.
    label_rule: the rule of the classifier's own `predict`.
    encoder, classifier: what it was exported from.
    """

    entry: schema.Model
    files: dict[str, bytes]
    classes: tuple[str, ...]
    label_rule: schema.LabelRule
    encoder: Encoder
    classifier: Classifier


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
    models = {
        name: export_model(model, folder, encoders.get(name), classifiers.get(name))
        for name, model in spec.models.items()
    }
    manifest, files = _assembled(spec, models)
    manifest = _compared_with_reference(spec, folder, models, manifest, files)
    write_zip(manifest, files, Path(to), check_written)
    return manifest


def export_model(
    spec: ModelSpec, folder: Path, module: Any = None, classifier: Classifier | None = None
) -> ExportedModel:
    """One model, exported and compared with its sources on the spec's parity cells.

    Args:
        spec: the model's spec.
        folder: where the spec's paths start.
        module, classifier: objects in memory instead of the files that the spec names.

    Raises:
        UsageError, InputError: something in the spec cannot be found or is not supported.
        ParityError: the export changed the numbers.
    """
    preprocessing = _preprocessing(spec)
    masks = _mask_network(spec, folder)
    encoder = load_encoder(
        spec.encoder,
        folder,
        canvas_px=spec.canvas_px,
        weights=spec.weights,
        input_layout=spec.input_layout,
        module=module,
    )
    classifier = _classifier(spec, folder) if classifier is None else classifier
    n_features = embedding_width(encoder.model)
    check_supported(classifier, n_features)
    sizes = {"canvas_px": spec.canvas_px, "draw_size": spec.draw_size}
    fused = fuse_graphs(encoder.model, classifier, preprocessing, encoding=spec.encoding, **sizes)
    head = head_from_classifier(classifier, n_features=n_features, draw_size=spec.draw_size)
    with _canvas(spec, masks) as canvas:
        cells = load_cells(folder / spec.parity_cells, canvas)
    parity = check_parity(
        fused,
        head,
        cells=cells,
        preprocessing=preprocessing,
        encoding=spec.encoding,
        reference=encoder.reference,
        classifier=classifier,
    )
    files = _files(fused, head, masks, spec)
    measured = {FUSED: parity.fused, HEAD: parity.head}
    return ExportedModel(
        entry=_model_entry(spec, preprocessing, n_features, _entries(files, measured)),
        files=files,
        classes=tuple(str(name) for name in classifier.classes_),
        label_rule=own_label_rule(classifier),
        encoder=encoder,
        classifier=classifier,
    )


def _compared_with_reference(
    spec: Spec,
    folder: Path,
    models: Mapping[str, ExportedModel],
    manifest: Manifest,
    files: Mapping[str, bytes],
) -> Manifest:
    """The manifest with what was measured beside the user's own scores, where the spec names some.

    Raises:
        InputError: the scores or their cohort cannot be used.
        ParityError: the bundle's scores differ from them.
    """
    measured: dict[str, Any] = {}
    with TemporaryDirectory(prefix="vexas-export-") as scratch:
        for name, model in spec.models.items():
            if model.reference_scores is None or model.cohort is None:
                continue
            path = Path(scratch, f"{name}.vxb")
            write_zip(manifest, files, path)
            scores, reading = folder / model.reference_scores, model.reading.options(folder)
            compared = compare_with_reference(
                open_bundle(path), name, scores, folder / model.cohort, reading
            )
            pipeline = _pipeline(model, models[name], manifest.positive)
            with _canvas(model, _mask_network(model, folder)) as canvas:
                bare = replace(canvas, canvas_px=None)
                cells_of = partial(
                    distinct_cells, classes=model.cells, canvas=bare, reading=reading
                )
                check_reference(compared, name, scores, pipeline, cells_of)
            measured[name] = figures(compared, model.threshold)
    if not measured:
        return manifest
    provenance = {**manifest.provenance, "reference_scores": measured}
    return msgspec.structs.replace(manifest, provenance=provenance)


def _pipeline(spec: ModelSpec, exported: ExportedModel, positive: str) -> Pipeline:
    return Pipeline(
        encode=exported.encoder.reference,
        classifier=exported.classifier,
        preprocessing=_preprocessing(spec),
        encoding=spec.encoding,
        canvas_px=spec.canvas_px,
        larger=spec.larger,
        draw_size=spec.draw_size,
        fit_draws=spec.fit_draws,
        positive=positive,
    )


def _classifier(spec: ModelSpec, folder: Path) -> Classifier:
    if spec.classifier is None:
        raise UsageError("the spec names no classifier, and none was passed in memory")
    return load_classifier(folder / spec.classifier)


def _mask_network(spec: ModelSpec, folder: Path) -> dict[str, bytes]:
    """The mask network's content by its name in the bundle; empty if the spec names none."""
    if spec.isolate is None:
        return {}
    try:
        return {ISOLATE: (folder / spec.isolate).read_bytes()}
    except OSError as error:
        raise InputError(
            f"mask network {folder / spec.isolate} cannot be read: {error.strerror}"
        ) from error


@contextmanager
def _canvas(spec: ModelSpec, masks: Mapping[str, bytes]) -> Iterator[Canvas]:
    with ExitStack() as stack:
        isolate = None
        if masks:
            isolate = stack.enter_context(opened_isolator(masks[ISOLATE], spec.isolation))
        yield Canvas(canvas_px=spec.canvas_px, larger=spec.larger, isolate=isolate)


def _files(
    fused: ModelProto, head: ModelProto, masks: Mapping[str, bytes], spec: ModelSpec
) -> dict[str, bytes]:
    """The content of the model's files by name: all graphs, and the self-test made with them."""
    files = {
        FUSED: fused.SerializeToString(deterministic=True),
        HEAD: head.SerializeToString(deterministic=True),
        **masks,
    }
    golden = golden_npz(files, canvas_px=spec.canvas_px, draw_size=spec.draw_size)
    return {**files, GOLDEN: golden}


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


def _preprocessing(spec: ModelSpec) -> Preprocessing:
    if isinstance(spec.preprocessing, str):
        return preprocessing_named(spec.preprocessing)
    return Preprocessing(**msgspec.structs.asdict(spec.preprocessing))


def _preprocessing_entry(spec: ModelSpec, chosen: Preprocessing) -> schema.Preprocessing:
    name = spec.preprocessing if isinstance(spec.preprocessing, str) else "explicit"
    return schema.Preprocessing(name=name, mean=chosen.mean, scale=chosen.scale, bgr=chosen.bgr)


def _model_entry(
    spec: ModelSpec,
    preprocessing: Preprocessing,
    n_features: int,
    files: dict[str, schema.FileEntry],
) -> schema.Model:
    return schema.Model(
        cells=spec.cells,
        canvas_px=spec.canvas_px,
        larger=spec.larger,
        preprocessing=_preprocessing_entry(spec, preprocessing),
        aggregation=schema.Aggregation(
            draw_size=spec.draw_size,
            fit_draws=spec.fit_draws,
            score_draws=spec.score_draws,
            seed=spec.seed,
        ),
        minimum_cells=spec.minimum_cells,
        threshold=spec.threshold,
        encoding=spec.encoding,
        encoding_width=n_features,
        files=files,
        isolation=spec.isolation if spec.isolate else None,
    )


def _assembled(
    spec: Spec, models: Mapping[str, ExportedModel]
) -> tuple[Manifest, dict[str, bytes]]:
    first = next(iter(models.values()))
    for name, model in models.items():
        if model.classes != first.classes:
            raise UsageError(
                f"model {name!r} was fitted on classes {model.classes}, another on "
                f"{first.classes}; all models of a bundle must have the same classes"
            )
    if spec.positive not in first.classes:
        raise UsageError(
            f"positive = {spec.positive!r} is not one of the classes {', '.join(first.classes)}"
        )
    manifest = Manifest(
        schema_version=schema.MANIFEST_SCHEMA,
        name=spec.name,
        version=spec.version,
        created=_today(),
        classes=first.classes,
        positive=spec.positive,
        label_rule=spec.label_rule or first.label_rule,
        lead=spec.lead,
        synthetic=spec.synthetic,
        models={name: model.entry for name, model in models.items()},
        files={},
        provenance={
            "made_with": _versions(),
            "sources": {name: model.encoder.source for name, model in models.items()},
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
