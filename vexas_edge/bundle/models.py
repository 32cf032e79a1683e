"""What a manifest says of each model: its cells, its encoder, how cells are joined, its files."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from vexas_edge.cells.limits import MOST_FEATURES, FeatureKind, IsolationLimits, LargerCells
from vexas_edge.covariates.covariate import Covariate
from vexas_edge.fields import Count, Sha256, Share

LabelRule = Literal["votes", "argmax"]
# How the cells of a bag are weighed, and whether each is weighed, or every position in its image.
Weighting = Literal["mean", "topk", "topbottom", "learned", "attention"]
Level = Literal["cell", "position"]
# What the classifier was fitted on: encodings divided by their L2 norm, or those of the encoder.
EncodingKind = Literal["l2", "raw"]
# Whether each case is brought to the bare slide of the training cohort before its cells are placed.
Normalise = Literal["none", "background"]
# How bright a bare slide is in one colour.
Brightness = Annotated[int, Meta(ge=1, le=255)]


class FileEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One file of the bundle.

    tested: whether a cheaper graph has passed its gate; without that, it is not used for scoring.
    encoder: of a fused graph, the hash of its part from cells to encodings; where two graphs have
    the same, cells need to be encoded only once.
    measured: what the parity check and the gates measured, by the figure's name.
    """

    sha256: Sha256
    bytes: Annotated[int, Meta(ge=0, le=2**31)]
    opset: int | None = None
    tested: bool = False
    encoder: Sha256 | None = None
    measured: dict[str, Any] = {}


class Preprocessing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the graph does to pixels, for the record: (pixel - mean) / scale, channel by channel."""

    name: str
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    bgr: bool


class Images(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="images"
):
    """A model's cells are images, and how each is put before the encoder.

    canvas_px: the side of the square that a cell is put on.
    larger: what happens to a cell that does not fit the canvas.
    isolation: null where cells are taken as the images show them.
    normalise: "background" if each case's bare slide is brought to that of the training cohort.
    background: that slide, a level for red, green and blue; null where nothing is normalised.
    """

    canvas_px: Annotated[int, Meta(ge=8, le=4096)]
    larger: LargerCells
    preprocessing: Preprocessing
    isolation: IsolationLimits | None = None
    normalise: Normalise = "none"
    background: tuple[Brightness, Brightness, Brightness] | None = None


class Vectors(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="vectors"
):
    """A model's cells are rows of numbers, each of a feature that its `features.txt` names.

    n_features: how many a cell has.
    names: what kind of names they are.
    counts: whether they are counts as they were counted; other numbers are then refused.
    library_size, log1p, clip: how the graph scales them, for the record: each cell's numbers are
    divided by their sum and multiplied by `library_size`; the logarithm of each and 1 is taken; in
    units of the training cells' spread around their mean, none is further from it than `clip`.
    missing_share: of the features, so many may be missing in a case that is scored; a missing one
    is taken for the training cells' mean.
    """

    n_features: Annotated[int, Meta(ge=1, le=MOST_FEATURES)]
    names: FeatureKind
    counts: bool
    library_size: float | None = None
    log1p: bool = False
    clip: float | None = None
    missing_share: Share


Instances = Images | Vectors


class Medians(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="method",
    tag="median",
):
    """Encodings become aggregates, each the median of random cells, which a classifier judges.

    draw_size: how many cells each is the median of.
    fit_draws: how many aggregates each patient had when the classifier was fitted.
    score_draws: how many aggregates a case has when it is scored.
    label_rule: how an aggregate's label is chosen.
    """

    draw_size: Annotated[int, Meta(ge=1, le=1000)] = 10
    fit_draws: Count = 100
    score_draws: Count = 1000
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 0
    label_rule: LabelRule


class Bag(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="method", tag="bag"
):
    """Each cell has a logit, and the patient's is their weighted mean; nothing is random.

    weighting: equal weights ("mean"), those of the highest cells, of the highest and the lowest, by
    each logit, or by attention.
    image_alone: whether the head gives the probability without the covariates, too.
    """

    weighting: Weighting
    level: Level = "cell"
    image_alone: bool = False


Aggregation = Medians | Bag


class Network(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An encoder, and what follows its encodings.

    instances: what its cells are.
    classes: in the order of the probabilities.
    encoding: "l2" if a cell's encoding is what the encoder returns divided by its L2 norm, "raw" if
    it is that itself.
    encoding_width: how many numbers an encoding has.
    files: the model's files, by their name in the model's folder.
    """

    instances: Instances
    aggregation: Aggregation
    classes: Annotated[tuple[str, ...], Meta(min_length=2)]
    encoding: EncodingKind
    encoding_width: Count
    files: dict[str, FileEntry]

    @property
    def images(self) -> Images:
        """The instances of a model that is known to take images."""
        assert isinstance(self.instances, Images)
        return self.instances

    @property
    def vectors(self) -> Vectors:
        """The instances of a model that is known to take rows of numbers."""
        assert isinstance(self.instances, Vectors)
        return self.instances

    @property
    def medians(self) -> Medians:
        """The aggregation of a model that is known to have medians."""
        assert isinstance(self.aggregation, Medians)
        return self.aggregation


class Model(Network, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of patients: its classes are theirs, and a case has a score by it.

    cells: the canonical names of the cell classes that it accepts; empty where cells are vectors,
    of which it takes all that it is given.
    covariates: what the model takes beside the cells, in its order.
    minimum_cells: how many cells a case needs to be scored.
    threshold: the score from which the call is positive.
    judged_typed: whether its scores were judged on cells that a model had named.
    """

    cells: tuple[str, ...] = ()
    covariates: tuple[Covariate, ...] = ()
    minimum_cells: Count
    threshold: Share
    judged_typed: bool = False


class TypingModel(Network, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that names cells: its classes are the canonical ones of cells, one cell a draw.

    of: the names that the models before it gave, whose cells it names anew; empty for the first,
    which names cells that have no class.
    limits: the least probability with which a cell gets each name; it gets no other.
    largest_px: the longest side of the images that it was fitted on; a larger image is no cell.
    """

    of: tuple[str, ...] = ()
    limits: dict[str, Share]
    largest_px: Count
