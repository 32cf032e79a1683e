"""Measures the recipe of gene expression on public data, beside its baselines.

    python examples/expression/measure.py GENES -o OUT [QUESTION ...]

GENES is a folder with kang_pbmc.npz, all_leukemia.npz and pbmc68k_reduced.npz. OUT gets a JSON line
for each head and seed, in a file for each question: figures, no data and no weights.
"""

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
import torch

from export.vectors.sizes import HeadKind
from training.expression.baselines import LearnExpression, baseline_learners
from training.expression.cells import ExpressionCells, expression_cells
from training.expression.judging import (
    JudgedExpression,
    expression_folds,
    judge_expression,
)
from training.expression.learning import ExpressionLearning
from training.expression.options import ExpressionOptions
from training.expression.report import ExpressionReport, lines_from_expression
from training.expression.zero_shot import ZeroShotOptions, judge_zero_shot
from vexas_edge.commands.console import run_command_line
from vexas_edge.files import write_atomically

MONOCYTES = ("CD14+ Monocytes", "FCGR3A+ Monocytes")
LYMPHOCYTES = ("B cells", "CD4 T cells", "CD8 T cells")
MOLECULAR = ("NEG", "BCR/ABL", "ALL1/AF4", "E2A/PBX1")
HEADS: tuple[HeadKind, ...] = get_args(HeadKind)
# Numbers of microarrays are logarithms already.
ARRAYS = ExpressionOptions(library_size=None, log1p=False)
Line = dict[str, Any]


def labelled_cells(file: Path, columns: dict[str, str]) -> ExpressionCells:
    """The cells of a file, labelled by arrays in it, through a table and a CSV file of cells.

    Args:
        columns: the array of each column; with the label, a patient or one word for all.
    """
    with np.load(file, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    counts = next(found[name] for name in ("counts", "counts_i32", "X") if name in found)
    features = next(found[name] for name in ("genes", "probes") if name in found)
    names = found.get("cells", np.arange(len(counts)).astype(str))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["cell", *columns])
    each = [found[array] if array in found else [array] * len(names) for array in columns.values()]
    writer.writerows(zip(names.tolist(), *(list(map(str, one)) for one in each), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        table, cells_csv = Path(folder, "table.npz"), Path(folder, "cells.csv")
        np.savez(table, counts=counts.astype(np.float32), genes=features, cells=names)
        write_atomically(cells_csv, text.getvalue().encode())
        return expression_cells([table], cells_csv, click.echo)


def judged(
    cells: ExpressionCells, options: ExpressionOptions, seeds: tuple[int, ...]
) -> list[Line]:
    """Baselines and all heads on the same folds, for each seed of folds and of training."""
    lines = []
    for seed in seeds:
        heads: dict[str, LearnExpression] = {
            head: ExpressionLearning(options=replace(options, head=head, seed=seed))
            for head in HEADS
        }
        learners = baseline_learners(replace(options, seed=seed)) | heads
        folds = expression_folds(cells, seed=seed)
        found = judge_expression(cells, learners, folds, click.echo)
        n_patients = len(set(cells.patients.tolist()))
        how = f"{len(folds)} folds of {'patients' if n_patients > 1 else 'cells'}"
        report = ExpressionReport(title=f"{len(cells)} cells", how=how, judged=found)
        click.echo("\n".join(lines_from_expression(report)))
        lines += [
            {"by": name, "folds": how, "seed": seed, **_figures(one, n_patients)}
            for name, one in found.items()
        ]
    return lines


def zero_shot(cells: ExpressionCells, options: ExpressionOptions) -> Iterator[Line]:
    """Stimulation told in lineages and a patient that were not learnt from, both ways."""
    trained = [(head, 0) for head in HEADS] + [(HEADS[0], seed) for seed in (1, 2)]
    for head, seed in trained:
        own = replace(options, head=head, seed=seed)
        for sources in (MONOCYTES, LYMPHOCYTES):
            asked = ZeroShotOptions(sources=sources, positive="stim", gene="ISG15")
            rows = judge_zero_shot(cells, ExpressionLearning(options=own), asked, own, click.echo)
            report = ExpressionReport(title=f"{head}, from {sources}", how="", zero_shot=rows)
            click.echo("\n".join(lines_from_expression(report)))
            for row in rows:
                yield {"by": head, "seed": seed, "from": sources, **_rounded(asdict(row))}


def _figures(found: JudgedExpression, n_patients: int) -> Line:
    kept = asdict(found)
    if n_patients > 2:  # a row for each of a hundred patients tells nobody anything
        del kept["by_patient"]
    return _rounded(kept)


def _rounded(found: Any) -> Any:
    if isinstance(found, dict):
        return {str(key): _rounded(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_rounded(value) for value in found]
    return round(found, 4) if isinstance(found, float) else found


def _kang(genes: Path, label: str) -> ExpressionCells:
    columns = {"label": label, "patient": "patient", "sample": "sample", "lineage": "cell_type"}
    return labelled_cells(genes / "kang_pbmc.npz", columns)


def _leukemia(genes: Path, label: str) -> ExpressionCells:
    return labelled_cells(genes / "all_leukemia.npz", {"label": label, "patient": "patient"})


def _molecular(genes: Path) -> ExpressionCells:
    cells = _leukemia(genes, "molecular")
    return cells.of_rows(np.isin(cells.labels, MOLECULAR))


def _blood(genes: Path) -> ExpressionCells:
    columns = {"label": "bulk_labels", "patient": "donor"}
    return labelled_cells(genes / "pbmc68k_reduced.npz", columns)


USUAL = ExpressionOptions()
QUESTIONS: dict[str, Callable[[Path], list[Line]]] = {
    "zero_shot": lambda genes: list(zero_shot(_kang(genes, "stim"), USUAL)),
    "cell_type": lambda genes: judged(_kang(genes, "cell_type"), USUAL, (0, 1, 2)),
    "blood": lambda genes: judged(_blood(genes), USUAL, (0, 1, 2)),
    "lineage": lambda genes: judged(_leukemia(genes, "lineage"), ARRAYS, (0,)),
    "molecular": lambda genes: judged(_molecular(genes), ARRAYS, (0,)),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("genes", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("questions", nargs=-1, type=click.Choice(list(QUESTIONS)))
@click.option("-o", "out", type=click.Path(path_type=Path), required=True, help="The folder.")
@click.option("--threads", default=1, show_default=True, help="Of torch.")
def cli(genes: Path, questions: tuple[str, ...], out: Path, threads: int) -> None:
    """Measure the QUESTIONS, or all, on the files in GENES."""
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    for question in questions or QUESTIONS:
        lines = QUESTIONS[question](genes)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_atomically(out / f"{question}.jsonl", text.encode())
        click.echo(f"{question}: {len(lines)} lines")


if __name__ == "__main__":
    run_command_line(cli)
