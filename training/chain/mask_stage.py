"""The stages about masks: the mask network is trained and exported, then it isolates cells."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from calibration.integers.masks import integer_masks, mask_agreement
from export.mask_graph import check_masks, masks_from_crops, onnx_from_unet
from training.chain.chain import Chain
from training.chain.chain_spec import Fields, options_from_fields
from training.chain.stages import Stage
from training.mask_network.isolated_cohort import CutOut, isolate_cohort
from training.mask_network.masks import crops_of, read_masked_images
from training.mask_network.outlines import score_masks, summarize
from training.mask_network.segmenter import SegmenterRecipe, train_segmenter
from vexas_edge.bundle.graphs import ISOLATE
from vexas_edge.cells.background import Background
from vexas_edge.cells.limits import IsolationLimits
from vexas_edge.files import write_atomically
from vexas_edge.runtime.isolator import opened_isolator
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import Progress

_CROPS_PER_BATCH = 8
_AGREEMENT = "agreement.json"


def masks_digest(table: Path) -> str:
    """The hash of all images and masks that a CSV names."""
    fit, judged = read_masked_images(table)
    digest = hashlib.sha256()
    for image in (*fit, *judged):
        for pixels in (image.pixels, image.classes):
            digest.update(str(pixels.shape).encode() + pixels.tobytes())
    return digest.hexdigest()


def make_mask_network(
    table: Path, recipe: Fields, limits: IsolationLimits, to: Path, progress: Progress
) -> None:
    """Write `isolate.onnx`, in integers, and `agreement.json`, how it differs from torch and float.

    The integers are calibrated on the images that the network was trained on. On all other images
    they are compared with float and judged by the masks. If there are no others, they are compared
    on the first, and not judged.
    """
    options: SegmenterRecipe = options_from_fields(SegmenterRecipe, recipe)
    fit, judged = read_masked_images(table)
    network = train_segmenter(fit, options, progress)
    reference = onnx_from_unet(network)
    crops, compared = crops_of(fit), crops_of(judged or fit)
    batches = [crops[i : i + _CROPS_PER_BATCH] for i in range(0, len(crops), _CROPS_PER_BATCH)]
    integers = integer_masks(reference, lambda: iter(batches))
    figures: dict[str, Any] = {
        "recipe": asdict(options),
        "from_torch": check_masks(reference, network, compared),
        "from_float": mask_agreement(reference, integers, compared).figures(),
    }
    if judged:
        masks = masks_from_crops(integers, compared)
        figures["judged"] = summarize(score_masks(masks, judged, limits))
    write_atomically(to / ISOLATE, integers.SerializeToString(deterministic=True))
    write_atomically(to / _AGREEMENT, json.dumps(figures, indent=2).encode() + b"\n")


def isolate_cells(
    chain: Chain,
    name: str,
    masks: Stage,
    background: Background | None,
    cells: dict[str, Any],
) -> Stage:
    """The stage that writes a model's cells alone on black.

    Args:
        name: the model's.
        background: the bare slide that each case is brought to before; None for none.
        cells: hashes of the cells, as an input.
    """
    assert chain.spec.isolate
    classes, limits = chain.spec.models[name].cells, chain.spec.isolate.limits

    def make(to: Path) -> None:
        with opened_isolator((masks.folder / ISOLATE).read_bytes(), limits) as isolator:
            asked = CutOut(
                isolate=isolator, cells=classes, background=background, reading=ReadOptions()
            )
            lost = isolate_cohort(chain.rows, asked, to)
        chain.talk.say(f"{name}/isolate: {len(lost)} cells lost; lost.csv lists them")

    inputs = {
        **cells,
        "classes": classes,
        "background": background,
        "network": masks.facts(),
        "limits": msgspec.to_builtins(limits),
    }
    return chain.stage(f"{name}/isolate", inputs, make)


def mask_sentence(folder: Path) -> str:
    """A sentence that says how well the stage's mask network did."""
    file = folder / _AGREEMENT
    judged = json.loads(file.read_text(encoding="utf-8")).get("judged") if file.exists() else None
    if not judged:
        return "Mask network: not judged."
    return (
        f"Mask network, on {judged['cells']} images that it had not seen: Dice of the whole cell "
        f"{judged['dice_mean']:.3f} in the mean, {judged['dice_p10']:.3f} at the 10th percentile; "
        f"{judged['rejected_share']:.1%} of the cells rejected."
    )
