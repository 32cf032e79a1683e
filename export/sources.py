"""What one model of a bundle is exported from, as its spec names it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from export.bags.bag_encoder import encoder_of_bag
from export.bags.bag_file import TrainedBag, load_bag
from export.bags.bag_head import BagHead
from export.classifier import Classifier, check_supported, own_label_rule, unfrozen
from export.fuse import embedding_width
from export.heads import Head, MedianHead
from export.inputs import Encoder, load_classifier, load_encoder
from export.preprocessing import Preprocessing, preprocessing_named
from export.spec import ModelSpec
from vexas_edge.bundle.models import Aggregation, Bag, EncodingKind, LabelRule, Medians
from vexas_edge.bundle.operators import check_operators
from vexas_edge.cells.canvas import Canvas
from vexas_edge.covariates.covariate import Covariate
from vexas_edge.errors import BundleError, InputError, UsageError
from vexas_edge.inputs import read_file
from vexas_edge.runtime.isolator import opened_isolator
from vexas_edge.typing.familiar import Familiar, familiar_from_bytes


@dataclass(frozen=True, kw_only=True)
class ModelSources:
    """The sources of one model, loaded.

    spec: with what a bag's own file says in place of what a spec with a bag leaves out.
    folder: where the spec's paths start.
    decides: the classifier of medians, or the trained bag.
    masks: the mask network's file; None if the spec names none.
    familiar: what the cells look like that it was fitted on; None if the spec does not say.
    """

    spec: ModelSpec
    folder: Path
    encoder: Encoder
    decides: Classifier | TrainedBag
    preprocessing: Preprocessing
    masks: bytes | None
    familiar: Familiar | None = None

    @property
    def n_features(self) -> int:
        """The number of features that the encoder returns per cell."""
        return embedding_width(self.encoder.model)

    @property
    def encoding(self) -> EncodingKind:
        """What the head was fitted on.

        Raises:
            UsageError: the spec does not say it.
        """
        if self.spec.encoding is None:
            raise UsageError("the spec names no encoding, which a model without a bag needs")
        return self.spec.encoding

    @property
    def head(self) -> Head:
        """What follows the encodings."""
        if isinstance(self.decides, TrainedBag):
            return BagHead(bag=self.decides)
        return MedianHead(classifier=self.decides, draw_size=self.draw_size)

    @property
    def draw_size(self) -> int:
        """Cells of a draw: one where each is named for itself."""
        return 1 if self.spec.role == "typing" else self.spec.draw_size

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of the head, in the order of its probabilities."""
        if isinstance(self.decides, TrainedBag):
            return self.decides.classes
        return tuple(str(name) for name in self.decides.classes_)

    @property
    def covariates(self) -> tuple[Covariate, ...]:
        """What the head takes beside the cells."""
        return self.decides.facts.covariates if isinstance(self.decides, TrainedBag) else ()

    def aggregation(self, label_rule: LabelRule | None) -> Aggregation:
        """As the manifest has it.

        Args:
            label_rule: None for the classifier's own.
        """
        spec = self.spec
        if isinstance(self.decides, TrainedBag):
            options = self.decides.facts.aggregation
            alone = self.head.sizes.image_alone
            return Bag(weighting=options.method, level=options.level, image_alone=alone)
        return Medians(
            draw_size=self.draw_size,
            fit_draws=spec.fit_draws,
            score_draws=spec.score_draws,
            seed=spec.seed,
            label_rule=label_rule or own_label_rule(self.decides),
        )

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
    masks = mask_network_at(folder / spec.isolate) if spec.isolate else None
    bag = load_bag(folder / spec.bag) if spec.bag else None
    if bag is not None:
        spec = spec_of_bag(spec, bag)
        encoder = encoder_of_bag(bag)
    else:
        encoder = load_encoder(
            spec.encoder,
            folder,
            canvas_px=spec.canvas_px,
            weights=spec.weights,
            input_layout=spec.input_layout,
            module=module,
        )
    return ModelSources(
        spec=spec,
        folder=folder,
        encoder=encoder,
        decides=bag or _classifier(spec, folder, classifier, embedding_width(encoder.model)),
        preprocessing=_preprocessing(spec),
        masks=masks,
        familiar=_familiar_at(folder / spec.familiar, encoder) if spec.familiar else None,
    )


def _familiar_at(path: Path, encoder: Encoder) -> Familiar:
    try:
        return familiar_from_bytes(read_file(path), embedding_width(encoder.model))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except BundleError as error:
        raise InputError(f"{path}: {error}") from error


def spec_of_bag(spec: ModelSpec, bag: TrainedBag) -> ModelSpec:
    """The spec with what its bag says."""
    facts = bag.facts
    return msgspec.structs.replace(
        spec,
        canvas_px=facts.canvas_px,
        larger="crop",
        preprocessing=facts.preprocessing,
        encoding="raw" if facts.aggregation.level == "position" else facts.encoding,
        threshold=facts.final.threshold,
        normalise="none" if facts.background is None else "background",
        background=facts.background,
    )


def _preprocessing(spec: ModelSpec) -> Preprocessing:
    if spec.preprocessing is None:
        raise UsageError("the spec names no preprocessing, which a model without a bag needs")
    if isinstance(spec.preprocessing, str):
        return preprocessing_named(spec.preprocessing)
    return Preprocessing(**msgspec.structs.asdict(spec.preprocessing))


def _classifier(
    spec: ModelSpec, folder: Path, given: Classifier | None, n_features: int
) -> Classifier:
    if given is not None:
        found = unfrozen(given)
    elif spec.classifier is not None:
        found = load_classifier(folder / spec.classifier)
    else:
        raise UsageError("the spec names no classifier, and none was passed in memory")
    check_supported(found, n_features)
    return found


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
