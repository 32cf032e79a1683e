"""What counts as one whole cell, and what happens to a cell that a canvas cannot hold."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from vexas_edge.fields import Share

# More features than any genome has genes and transcripts.
MOST_FEATURES = 500_000
# What the names of features are: symbols or Ensembl ids of genes, or others, as of probes.
FeatureKind = Literal["symbol", "ensembl", "other"]
# The side of the square on which a mask network looks at a crop, and the classes of its pixels.
GRID_PX = 128
MASK_CLASSES = ("background", "cytoplasm", "nucleus")

LargerCells = Literal["reject", "crop"]


class IsolationLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as one whole leukocyte, where a model wants its cells isolated.

    smallest_area, largest_area: of the cell, as a share of the crop.
    border_contact: how much of the cell may lie on the crop's border, in diameters of the cell.
    nuclei_apart: how far apart parts of the nucleus may lie, in diameters of the cell.
    smallest_nucleus, largest_nucleus: of the nucleus, as a share of the cell's area.
    """

    smallest_area: Share = 0.01
    largest_area: Share = 0.75
    border_contact: Annotated[float, Meta(ge=0)] = 0.1
    nuclei_apart: Annotated[float, Meta(ge=0)] = 0.6
    smallest_nucleus: Share = 0.1
    largest_nucleus: Share = 0.97
