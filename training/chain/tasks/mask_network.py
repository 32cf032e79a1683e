"""The work of the stage `mask-network`: the mask network is trained, exported and judged."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from calibration.integers.masks import integer_masks, mask_agreement
from export.mask_graph import check_masks, masks_from_crops, onnx_from_unet
from training.chain.inputs import GivenFile
from training.mask_network.masks import crops_of, read_masked_images
from training.mask_network.outlines import score_masks, summarize
from training.mask_network.segmenter import SegmenterRecipe, train_segmenter
from training.talk import Talk
from vexas_edge.bundle.graphs import ISOLATE
from vexas_edge.cells.limits import IsolationLimits
from vexas_edge.files import write_atomically

AGREEMENT = "agreement.json"
_CROPS_PER_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class MaskInputs:
    """What the mask network is made from.

    masks: the table of images and masks.
    limits: by which it is judged.
    libraries: what weights depend on besides.
    """

    masks: GivenFile
    recipe: SegmenterRecipe
    limits: IsolationLimits
    libraries: dict[str, Any]


def make_mask_network(to: Path, given: MaskInputs, talk: Talk) -> None:
    """Write `isolate.onnx`, in integers, and `agreement.json`, how it differs from torch and float.

    The integers are calibrated on the images that the network was trained on. On all other images
    they are compared with float and judged by the masks. If there are no others, they are compared
    on the first, and not judged.
    """
    fit, judged = read_masked_images(given.masks.path)
    network = train_segmenter(fit, given.recipe, talk.progress)
    reference = onnx_from_unet(network)
    crops, compared = crops_of(fit), crops_of(judged or fit)
    batches = [crops[i : i + _CROPS_PER_BATCH] for i in range(0, len(crops), _CROPS_PER_BATCH)]
    integers = integer_masks(reference, lambda: iter(batches))
    figures: dict[str, Any] = {
        "recipe": asdict(given.recipe),
        "from_torch": check_masks(reference, network, compared),
        "from_float": mask_agreement(reference, integers, compared).figures(),
    }
    if judged:
        masks = masks_from_crops(integers, compared)
        figures["judged"] = summarize(score_masks(masks, judged, given.limits))
    write_atomically(to / ISOLATE, integers.SerializeToString(deterministic=True))
    write_atomically(to / AGREEMENT, json.dumps(figures, indent=2).encode() + b"\n")
