"""How far a cheaper graph may lie from the reference."""

from typing import Annotated

from msgspec import Meta, Struct

from vexas_edge.fields import Count, Share


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a cheaper graph may lie from the reference on patients that it has never seen.

    cosine_p1: the least 1st percentile, over cells, of the cosine between both graphs' encodings.
    score_drift: the largest mean distance between both graphs' scores of a case.
    auc_drop: the largest loss of ROC-AUC.
    flipped_share: how many calls may change, as a share of the cases, rounded down; and for how
    many cases the domain gate may answer otherwise.
    flip_margin: how far from the threshold the reference's score of such a case may lie.
    gate_margin: how far from the domain gate's limit the reference may lie, in the gate's unit.
    patients_per_class: the least number of patients, both positive and not, to judge on.
    calibration_distance: the largest squared distance between the mean encodings of calibration's
    cells and of the gate's cells, over the spread of the gate's cells. Right cells of 20 patients
    lie at 0.01 to 0.05, and cells with red and blue swapped at 0.23 and more.
    recall_drop: where cells are named, the largest loss of recall of a class with ten cells.
    renamed_share: where cells are named, the largest share of cells that get another name, or one
    more or less.
    """

    cosine_p1: Annotated[float, Meta(ge=-1, le=1)]
    score_drift: Share = 0.02
    auc_drop: Share = 0.006
    flipped_share: Share = 0.025
    flip_margin: Share = 0.05
    gate_margin: Annotated[float, Meta(ge=0)] = 0.1
    patients_per_class: Count = 3
    calibration_distance: Annotated[float, Meta(ge=0)] = 0.2
    recall_drop: Share = 0.03
    renamed_share: Share = 0.03


class Budgets(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    omit_defaults=True,
):
    """The budget of each kind of cheaper graph."""

    fp16: Budget = Budget(cosine_p1=0.9999, flipped_share=0)
    int8: Budget = Budget(cosine_p1=0.998)
    int8_rr: Budget = Budget(cosine_p1=0.995)
    int8_trt: Budget = Budget(cosine_p1=0.995)

    def of(self, kind: str) -> Budget:
        """The budget of one kind of graph, a name from `CHEAPER`."""
        budget: Budget = getattr(self, kind.replace("-", "_"))
        return budget
