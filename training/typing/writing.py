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
from vexas_edge.typing.familiar import bytes_from_familiar

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
        if typer.familiar:
            familiar = bytes_from_familiar(typer.familiar)
            write_atomically(folder / _familiar_file(typer), familiar)
    _write_cells(labelled.cells, options, folder / _PARITY)
    first = typers[0]
    models = [_model(typer, first, options, labelled.largest_px) for typer in typers]
    write_atomically(folder / _SPEC, (_HEAD % name + "".join(models)).encode())


def _familiar_file(typer: Typer) -> str:
    return f"{typer.name}.familiar.npz"


def _model(typer: Typer, first: Typer, options: TypingOptions, largest_px: int) -> str:
    """What the spec says of one model.

    Args:
        first: the one that is asked first, which may be the same.
    """
    limits = "\n".join(f"{key} = {value!r}" for key, value in sorted(typer.limits.items()))
    of = [name for name in typer.of if name in first.limits]
    more = f"of = {json.dumps(of)}\n" if of else ""
    more += f'familiar = "{_familiar_file(typer)}"\n' if typer.familiar else ""
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
{more}
# The least probability with which a cell gets each name. At least {options.precision:g} of the
# held-out cells that chose it were right, those with a finer name of the same class included; of
# others somewhat less. No other name is given.
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
