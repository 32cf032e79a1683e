"""What one model of a bundle is exported from, as its spec names it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from export.bags.bag_encoder import encoder_of_bag
from export.bags.bag_file import BagOfVectors, TrainedBag, load_bag
from export.bags.bag_head import BagHead
from export.classifier import Classifier, check_supported, own_label_rule, unfrozen
from export.fuse import embedding_width
from export.golden import golden_of_images, golden_of_vectors
from export.heads import Head, MedianHead
from export.inputs import Encoder, load_cells, load_classifier, load_encoder, mask_network_at
from export.preprocessing import CanvasScaling, Preprocessing, preprocessing_named
from export.scaling import InputScaling
from export.spec import ModelSpec
from export.vectors.parity_rows import load_rows
from export.vectors.vector_encoder import near_ties
from vexas_edge.bundle import models as schema
from vexas_edge.bundle.contract import CELLS
from vexas_edge.bundle.models import Aggregation, Bag, EncodingKind, LabelRule, Medians
from vexas_edge.cells.canvas import Canvas
from vexas_edge.covariates.covariate import Covariate
from vexas_edge.errors import BundleError, InputError, UsageError
from vexas_edge.inputs import read_file
from vexas_edge.scoring.images.isolator import opened_isolator
from vexas_edge.typing.familiar import Familiar, familiar_from_bytes

# So many self-tests are drawn until one has cells whose encodings are sure.
_GOLDEN_SEEDS = 20


@dataclass(frozen=True, kw_only=True)
class ModelSources:
    """The sources of one model, loaded.

    spec: with what a bag's own file says in place of what a spec with a bag leaves out.
    folder: where the spec's paths start.
    decides: the classifier of medians, or the trained bag.
    scaling: what stands between cells and the encoder.
    masks: the mask network's file; None if the spec names none.
    familiar: what the cells look like that it was fitted on; None if the spec does not say.
    """

    spec: ModelSpec
    folder: Path
    encoder: Encoder
    decides: Classifier | TrainedBag
    scaling: InputScaling
    masks: bytes | None
    familiar: Familiar | None = None

    @property
    def n_features(self) -> int:
        """The number of features that the encoder returns per cell."""
        return embedding_width(self.encoder.model)

    @property
    def instances(self) -> schema.Instances:
        """What the model's cells are, as the manifest has it."""
        if isinstance(self.decides, TrainedBag) and isinstance(
            self.decides.facts.instances, BagOfVectors
        ):
            return self.decides.facts.instances.vectors
        spec, chosen = self.spec, self.preprocessing
        name = spec.preprocessing if isinstance(spec.preprocessing, str) else "explicit"
        return schema.Images(
            canvas_px=spec.canvas_px,
            larger=spec.larger,
            preprocessing=schema.Preprocessing(
                name=name, mean=chosen.mean, scale=chosen.scale, bgr=chosen.bgr
            ),
            isolation=spec.isolation if spec.isolate else None,
            normalise=spec.normalise,
            background=spec.background,
        )

    @property
    def preprocessing(self) -> Preprocessing:
        """Of the pixels of a model that is known to take images."""
        assert isinstance(self.scaling, CanvasScaling)
        return self.scaling.preprocessing

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the numbers that a cell is; empty where cells are images."""
        bag = self.decides if isinstance(self.decides, TrainedBag) else None
        of = bag.facts.instances if bag else None
        return of.features if isinstance(of, BagOfVectors) else ()

    def parity_cells(self) -> np.ndarray:
        """The cells that every step of the export is compared on, as the graph takes them.

        Raises:
            InputError: they cannot be read or used.
        """
        path = self.folder / self.spec.parity_cells
        if isinstance(self.instances, schema.Vectors):
            rows = load_rows(path, self.features, self.instances)
            return rows[~self.near_ties(rows)]
        with self.canvas() as canvas:
            return load_cells(path, canvas)

    def golden_cells(self) -> dict[str, np.ndarray]:
        """The made-up cells of the self-test, by the names of its arrays."""
        vectors = self.instances
        if not isinstance(vectors, schema.Vectors):
            return golden_of_images(self.spec.canvas_px, self.spec.background)
        drawn = (
            golden_of_vectors(vectors.n_features, seed, counts=vectors.counts)
            for seed in range(_GOLDEN_SEEDS)
        )
        sound = (made for made in drawn if not self.near_ties(made[CELLS]).any())
        found = next(sound, None)
        if found is None:
            raise InputError("anchors lie so near each other that no cell has sure neighbours")
        return found

    def near_ties(self, rows: np.ndarray) -> np.ndarray:
        """Which rows of numbers have no sure encoding, bool (N,), as `export.vectors` has it."""
        assert isinstance(self.decides, TrainedBag)  # as all that takes rows is
        return near_ties(self.decides.encoder, self.scaling(rows))

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
        scaling=_scaling(spec, bag),
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
    """The spec with what its bag says.

    Raises:
        UsageError: it says what belongs to images and the bag's cells are rows of tables, or the
            other way round.
    """
    facts, of = bag.facts, bag.facts.instances
    encoding: EncodingKind = "raw" if facts.aggregation.level == "position" else facts.encoding
    spec = msgspec.structs.replace(spec, encoding=encoding, threshold=facts.final.threshold)
    if bool(spec.cells) == isinstance(of, BagOfVectors):
        raise UsageError(
            "the spec names `cells`, the classes that a model of images accepts; the cells of this "
            "bag are rows of tables, of which it takes all"
            if spec.cells
            else "it lacks cells, the classes that it accepts"
        )
    if isinstance(of, BagOfVectors):
        return spec
    if spec.familiar:
        raise UsageError("familiar belongs to models that name cells, or that take tables")
    return msgspec.structs.replace(
        spec,
        canvas_px=of.canvas_px,
        larger="crop",
        preprocessing=of.preprocessing,
        normalise="none" if of.background is None else "background",
        background=of.background,
    )


def _scaling(spec: ModelSpec, bag: TrainedBag | None) -> InputScaling:
    if bag is not None and bag.scaling is not None:
        return bag.scaling
    return CanvasScaling(preprocessing=_preprocessing(spec), canvas_px=spec.canvas_px)


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
