"""The command that trains the mask network: `segmenter`."""

from pathlib import Path

import click
import msgspec

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("table", type=_PATH)
@click.option("-o", "out", type=_PATH, required=True, help="The weights, .safetensors.")
@click.option("--steps", type=click.IntRange(1), help="Batches to learn from.  [default: 1600]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def segmenter(table: Path, out: Path, steps: int | None, seed: int) -> None:
    """Train the network that isolates cells on TABLE, a CSV of `image` and `mask`.

    A mask is as large as its image: 0 background, 128 cytoplasm, 255 nucleus. Where there is a
    column `split`, rows that say `fit` are trained on; on all others the network is judged.
    """
    from safetensors.torch import save

    from export.unet import probabilities_from_crops
    from training.masks import crops_of, read_masked_images
    from training.outlines import score_masks, summarize
    from training.segmenter import SegmenterRecipe, train_segmenter
    from vexas_edge.console import Progress, echo_json
    from vexas_edge.isolation import IsolationLimits
    from vexas_edge.output import write_atomically

    fit, judged = read_masked_images(table)
    recipe = SegmenterRecipe(seed=seed, **({"steps": steps} if steps else {}))
    progress = Progress(str(table), unit="batches")
    network = train_segmenter(fit, recipe, progress)
    progress.clear()
    write_atomically(out, save(network.state_dict()))
    click.echo(f"{out}: trained on {len(fit)} images", err=True)
    if judged:
        masks = probabilities_from_crops(network, crops_of(judged))
        echo_json(msgspec.json.encode(summarize(score_masks(masks, judged, IsolationLimits()))))
