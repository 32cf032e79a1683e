"""Commands about isolating cells: `segmenter` trains the mask network, `isolate` applies it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import click
import msgspec

from training.commands import names_from_words
from training.commands.background import background_option
from vexas_edge.cells.background import Background
from vexas_edge.commands.console import echo, say
from vexas_edge.commands.options import reading_options
from vexas_edge.smear.options import ReadOptions

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("table", type=_PATH)
@click.option(
    "-o", "out", type=_PATH, required=True, help="The weights file to write, .safetensors."
)
@click.option("--steps", type=click.IntRange(1), help="Batches to learn from.  [default: 3000]")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the first weights, of the batches and of the augmentation.",
)
def segmenter(table: Path, out: Path, steps: int | None, seed: int) -> None:
    """Train the mask network, which finds the white cell in an image and its nucleus.

    TABLE is a CSV with the columns `image` and `mask`. A mask has the size of its image: 0
    background, 128 cytoplasm, 255 nucleus. If there is a column `split`, the network learns from
    the rows that say `fit` and is judged on all others.

    \b
    Example:
      vexas-workshop train synth -o work/cohort --patients 70 --strength 1 --crops
      vexas-workshop train segmenter work/cohort/masks.csv -o isolate.safetensors
    """
    from safetensors.torch import save

    from export.unet import probabilities_from_crops
    from training.mask_network.masks import crops_of, read_masked_images
    from training.mask_network.outlines import score_masks, summarize
    from training.mask_network.segmenter import SegmenterRecipe, train_segmenter
    from vexas_edge.cells.limits import IsolationLimits
    from vexas_edge.commands.console import ProgressLine, echo_json
    from vexas_edge.files import write_atomically

    fit, judged = read_masked_images(table)
    recipe = SegmenterRecipe(seed=seed)
    if steps:
        recipe = replace(recipe, steps=steps)
    progress = ProgressLine(str(table), unit="batches")
    network = train_segmenter(fit, recipe, progress)
    progress.clear()
    write_atomically(out, save(network.state_dict()))
    say(f"{out}: trained on {len(fit)} images")
    if judged:
        masks = probabilities_from_crops(network, crops_of(judged))
        echo_json(msgspec.json.encode(summarize(score_masks(masks, judged, IsolationLimits()))))


@click.command()
@click.argument("cohort", type=_PATH)
@click.option(
    "--network",
    type=_PATH,
    required=True,
    help="The mask network as an ONNX file, such as isolate.onnx of `train run`.",
)
@click.option(
    "--cells",
    help="Classes of cells to isolate, separated by commas, such as monocyte,promonocyte.  "
    "[default: all]",
)
@background_option
@reading_options
@click.option(
    "-o",
    "out",
    type=_PATH,
    required=True,
    help="Folder for the new cohort, which must not exist yet.",
)
def isolate(
    cohort: Path,
    network: Path,
    cells: str | None,
    background: Background | None,
    out: Path,
    reading: ReadOptions,
) -> None:
    """Write a new cohort whose images show each cell of COHORT (cohort.csv) alone, on black.

    Cells that cannot be isolated are listed in lost.csv with the reason. For a model that
    normalises, name its cells and --background here, and not again for `pretrain` and `encode`.

    \b
    Example:
      vexas-workshop train isolate work/cohort/cohort.csv \\
        --network work/stages/mask-network/isolate.onnx -o isolated
    """
    from export.inputs import mask_network_at
    from training.mask_network.isolated_cohort import CutOut, isolate_cohort
    from vexas_edge.cells.limits import IsolationLimits
    from vexas_edge.errors import HostError
    from vexas_edge.scoring.images.isolator import opened_isolator
    from vexas_edge.smear.cohort import read_cohort

    if out.exists():
        raise HostError(f"{out} already exists; name another folder")
    with opened_isolator(mask_network_at(network), IsolationLimits()) as isolator:
        asked = CutOut(
            isolate=isolator,
            cells=names_from_words(cells),
            background=background,
            reading=reading,
        )
        lost = isolate_cohort(read_cohort(cohort), asked, out)
    for reason, n in sorted(Counter(cell.reason for cell in lost).items()):
        say(f"lost: {reason} {n}")
    echo(f"cohort: {out / 'cohort.csv'}")
