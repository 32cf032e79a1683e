"""Writes what was learnt of cells' classes as parts of a bundle, and the spec that names them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skops.io
from safetensors.torch import save

from training.png import png_from_pixels
from training.pretraining.cell_stack import CellStack
from training.typing.options import TypingOptions
from training.typing.sources import LabelledCells
from training.typing.typers import Typer
from vexas_edge.files import write_atomically

_SPEC, _PARITY = "spec.toml", "parity_cells"
_PARITY_CELLS = 40
_HEAD = """\
# Build the bundle with: vexas-workshop export bundle THIS_FILE -o TYPES.vxb
name = "%s"
version = "1.0.0"
"""


def write_typers(
    typers: Sequence[Typer],
    labelled: LabelledCells,
    options: TypingOptions,
    name: str,
    folder: Path,
) -> None:
    """Write weights, classifiers, some of the cells and a spec for `export bundle`.

    Args:
        name: the bundle's.

    Raises:
        HostError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for typer in typers:
        state = typer.network.backbone.state_dict()
        weights = {key: tensor.contiguous().clone() for key, tensor in state.items()}
        write_atomically(folder / f"{typer.name}.safetensors", save(weights))
        write_atomically(folder / f"{typer.name}.skops", skops.io.dumps(typer.classifier))
    _write_cells(labelled.cells, options, folder / _PARITY)
    models = [_model(typer, options, labelled.largest_px) for typer in typers]
    write_atomically(folder / _SPEC, (_HEAD % name + "".join(models)).encode())


def _model(typer: Typer, options: TypingOptions, largest_px: int) -> str:
    """What the spec says of one model."""
    limits = "\n".join(f"{key} = {value!r}" for key, value in sorted(typer.limits.items()))
    of = f"of = {json.dumps(typer.of)}\n" if typer.of else ""
    return f"""
[models.{typer.name}]
role = "typing"
encoder = "{options.backbone}"
weights = "{typer.name}.safetensors"
preprocessing = "{options.preprocessing}"
encoding = "raw"
canvas_px = {options.canvas_px}
larger = "crop"
classifier = "{typer.name}.skops"
parity_cells = "{_PARITY}"
largest_px = {largest_px}
{of}
# The least probability with which a cell gets each name. At least {options.precision:g} of the
# held-out cells that chose it were right, of others somewhat less; no other name is given.
[models.{typer.name}.limits]
{limits}
"""


def _write_cells(cells: CellStack, options: TypingOptions, folder: Path) -> None:
    """Some cells of every class, those with the smallest identities."""
    folder.mkdir(parents=True, exist_ok=True)
    first = (cells.side_px - options.canvas_px) // 2
    middle = slice(first, first + options.canvas_px)
    for place, row in enumerate(_chosen(cells.labels, cells.identities)):
        pixels = cells.pixels[row, middle, middle].numpy()
        write_atomically(folder / f"{place:03}.png", png_from_pixels(pixels))


def _chosen(labels: Sequence[str], identities: Sequence[bytes]) -> list[int]:
    """Rows of `_PARITY_CELLS` cells, as many of each class as there are, rare ones first."""
    by_class: dict[str, list[int]] = {}
    for row in sorted(range(len(labels)), key=identities.__getitem__):
        by_class.setdefault(labels[row], []).append(row)
    most = max(len(rows) for rows in by_class.values())
    rounds = (rows[i] for i in range(most) for rows in by_class.values() if i < len(rows))
    return [row for row, _ in zip(rounds, np.arange(_PARITY_CELLS), strict=False)]
