"""What one model of a bundle is exported from, as its spec names it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from export.classifier import Classifier, check_supported, unfrozen
from export.fuse import embedding_width
from export.inputs import Encoder, load_classifier, load_encoder
from export.preprocessing import Preprocessing, preprocessing_named
from export.spec import ModelSpec
from vexas_edge.bundle.operators import check_operators
from vexas_edge.cells.canvas import Canvas
from vexas_edge.errors import InputError, UsageError
from vexas_edge.inputs import read_file
from vexas_edge.runtime.isolator import opened_isolator


@dataclass(frozen=True, kw_only=True)
class ModelSources:
    """The sources of one model, loaded.

    folder: where the spec's paths start.
    masks: the mask network's file; None if the spec names none.
    """

    spec: ModelSpec
    folder: Path
    encoder: Encoder
    classifier: Classifier
    preprocessing: Preprocessing
    masks: bytes | None

    @property
    def n_features(self) -> int:
        """The number of features that the encoder returns per cell."""
        return embedding_width(self.encoder.model)

    @contextmanager
    def canvas(self) -> Iterator[Canvas]:
        """The model's canvas, with its mask network if it has one."""
        with ExitStack() as stack:
            isolate = None
            if self.masks is not None:
                isolate = stack.enter_context(opened_isolator(self.masks, self.spec.isolation))
            yield Canvas(
                canvas_px=self.spec.canvas_px,
                larger=self.spec.larger,
                isolate=isolate,
                background=self.spec.background,
            )


def load_sources(
    spec: ModelSpec, folder: Path, module: Any = None, classifier: Classifier | None = None
) -> ModelSources:
    """Load what the spec names.

    Args:
        module, classifier: objects in memory instead of the files that the spec names.

    Raises:
        UsageError, InputError: something cannot be found or is not supported.
    """
    preprocessing = _preprocessing(spec)
    masks = mask_network_at(folder / spec.isolate) if spec.isolate else None
    encoder = load_encoder(
        spec.encoder,
        folder,
        canvas_px=spec.canvas_px,
        weights=spec.weights,
        input_layout=spec.input_layout,
        module=module,
    )
    classifier = _classifier(spec, folder) if classifier is None else unfrozen(classifier)
    check_supported(classifier, embedding_width(encoder.model))
    return ModelSources(
        spec=spec,
        folder=folder,
        encoder=encoder,
        classifier=classifier,
        preprocessing=preprocessing,
        masks=masks,
    )


def _preprocessing(spec: ModelSpec) -> Preprocessing:
    if isinstance(spec.preprocessing, str):
        return preprocessing_named(spec.preprocessing)
    return Preprocessing(**msgspec.structs.asdict(spec.preprocessing))


def _classifier(spec: ModelSpec, folder: Path) -> Classifier:
    if spec.classifier is None:
        raise UsageError("the spec names no classifier, and none was passed in memory")
    return load_classifier(folder / spec.classifier)


def mask_network_at(path: Path) -> bytes:
    """The content of a mask network's .onnx file. Raises InputError where it is none."""
    try:
        content = read_file(path)
        check_operators(content)
    except OSError as error:
        raise InputError(f"mask network {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"mask network {path} cannot be used: {error}") from error
    return content
