"""The stages about masks: the mask network is trained and judged, then it isolates cells."""

import hashlib
import json
from pathlib import Path
from typing import Any

from training.chain.chain import Chain, given_file
from training.chain.inputs import GivenFile, bare
from training.chain.libraries import onnxruntime_facts, torch_facts
from training.chain.stages import Stage
from training.chain.tasks.copied_network import NetworkInputs, copy_network
from training.chain.tasks.isolate import IsolateInputs, make_isolated
from training.chain.tasks.mask_network import AGREEMENT, MaskInputs, make_mask_network
from training.mask_network.masks import read_masked_images
from vexas_edge.bundle.graphs import ISOLATE
from vexas_edge.cells.background import Background
from vexas_edge.errors import InputError


def mask_stage(chain: Chain) -> Stage | None:
    """The stage of the mask network; None if the chain does not isolate cells.

    Raises:
        InputError: a network that was trained here reaches less than the spec's `least_dice`, or
            there is no image to judge it on although the spec asks for more than 0.
    """
    asked = chain.spec.isolate
    if asked is None:
        return None
    if asked.network is not None:
        network = given_file(chain.folder / asked.network)
        return chain.stage("mask-network", copy_network, NetworkInputs(network=network))
    given = MaskInputs(
        masks=_given_masks(chain.folder / (asked.masks or ""), asked.least_dice),
        recipe=asked.segmenter_recipe(),
        limits=asked.limits,
        libraries=torch_facts(),
    )
    stage = chain.stage("mask-network", make_mask_network, given)
    _check_dice(stage, asked.least_dice)
    return stage


def isolate_stage(chain: Chain, name: str, masks: Stage, background: Background | None) -> Stage:
    """The stage that writes a model's cells alone on black.

    Args:
        name: the model's.
        background: the bare slide that each case is brought to before; None for none.
    """
    assert chain.spec.isolate
    given = IsolateInputs(
        cells=chain.cells.given(bare(chain.rows), chain.spec.models[name].cells),
        network=masks.file(ISOLATE),
        limits=chain.spec.isolate.limits,
        background=background,
        libraries=onnxruntime_facts(),
    )
    isolated = chain.stage(f"{name}/isolate", make_isolated, given)
    chain.cells.know(isolated.folder, isolated.files)
    return isolated


def mask_sentence(masks: Stage) -> str:
    """A sentence that says how well the stage's mask network did."""
    judged = _judged(masks)
    if not judged:
        return "Mask network: not judged."
    return (
        f"Mask network, on {judged['cells']} images that it had not seen: Dice of the whole cell "
        f"{judged['dice_mean']:.3f} in the mean, {judged['dice_p10']:.3f} at the 10th percentile; "
        f"{judged['rejected_share']:.1%} of the cells rejected."
    )


def _given_masks(table: Path, least_dice: float) -> GivenFile:
    """The table, with the hash of its images and masks.

    Raises:
        InputError: it sets no image apart, and the spec asks for a Dice.
    """
    fit, judged = read_masked_images(table)
    if least_dice and not judged:
        raise InputError(
            f"{table} sets no image apart, so nothing would tell whether the mask network has "
            f"learnt: expected rows whose `split` is not 'fit', to reach least_dice = "
            f"{least_dice:g} on; add some, or set isolate.least_dice = 0 to go on without"
        )
    digest = hashlib.sha256()
    for images in (fit, judged):
        digest.update(f"{len(images)} images".encode())
        for image in images:
            for pixels in (image.pixels, image.classes):
                digest.update(str(pixels.shape).encode() + pixels.tobytes())
    return GivenFile(path=table, sha256=digest.hexdigest())


def _check_dice(masks: Stage, least_dice: float) -> None:
    judged = _judged(masks)
    if judged and judged["dice_mean"] < least_dice:
        raise InputError(
            f"the mask network reaches a mean Dice of {judged['dice_mean']:.3f} on "
            f"{judged['cells']} images that it had not seen; expected at least least_dice = "
            f"{least_dice:g}, or cells would be cut out wrongly. Add masks, train for more steps "
            "(isolate.recipe.steps), or lower isolate.least_dice on purpose"
        )


def _judged(masks: Stage) -> dict[str, Any] | None:
    if AGREEMENT not in masks.files:
        return None
    figures = json.loads((masks.folder / AGREEMENT).read_text(encoding="utf-8"))
    judged: dict[str, Any] | None = figures.get("judged")
    return judged
