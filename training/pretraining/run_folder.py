"""Runs pretraining in a folder, with a checkpoint, a log, a plot and, at the end, the weights."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save

from export.backbones import prefix_words
from training.png import png_from_figure
from training.pretraining.cell_stack import CellStack
from training.pretraining.checkpoint import read_checkpoint, write_checkpoint
from training.pretraining.trainer import Pretraining, PretrainOptions, Record
from vexas_edge.files import write_atomically
from vexas_edge.host.libraries import load_library
from vexas_edge.talk import Progress, Say, time_left

if TYPE_CHECKING:
    from matplotlib.figure import Figure

matplotlib_figure = load_library("matplotlib.figure")

WEIGHTS, CHECKPOINT = "encoder.safetensors", "checkpoint.safetensors"
LOG, CURVE = "pretrain.jsonl", "pretrain.png"


def pretrain_into(
    folder: Path,
    cells: CellStack,
    options: PretrainOptions,
    *,
    unreadable: Sequence[str] = (),
    probe: CellStack | None = None,
    device: str = "cpu",
    progress: Progress,
    say: Say,
) -> list[Record]:
    """Pretrain to the end, from the folder's checkpoint if there is one; returns all records.

    The checkpoint and the log are written after every epoch, the plot and the weights at the end.

    Args:
        unreadable: lines about cells that could not be read, for the log.
        probe: labelled cells; how well the encoder tells them apart is recorded per epoch.

    Raises:
        UsageError, InputError: the checkpoint is of another run, or the loss is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = Pretraining(cells, options, probe=probe, device=device)
    if run.prefix:
        say(prefix_words(run.prefix, f"{options.start}"))
    file = folder / CHECKPOINT
    if file.exists():
        run.resume(read_checkpoint(file, run.facts))
        say(f"{file}: continuing after epoch {len(run.history)}")
    head = {"options": asdict(options), "cells": len(cells), "unreadable": list(unreadable)}
    started, before = time.monotonic(), len(run.history)
    while not run.is_over:
        run.run_epoch(progress)
        write_checkpoint(run.checkpoint(), file)
        _write_log(folder / LOG, head, run.history)
        say(_sentence(run, (time.monotonic() - started) / (len(run.history) - before)))
    write_atomically(folder / CURVE, curve(run.history))
    write_atomically(folder / WEIGHTS, save(run.best_weights()))
    return run.history


def curve(history: Sequence[Record]) -> bytes:
    """A plot of the loss and the accuracies over epochs, as a PNG."""
    figure: Figure = matplotlib_figure.Figure(figsize=(6.4, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    epochs = [record["epoch"] for record in history]
    above.plot(epochs, [record["loss"] for record in history], color="#0072b2")
    best = min(history, key=lambda record: record["loss"])
    above.plot(best["epoch"], best["loss"], "o", color="#0072b2")
    above.set(ylabel="contrastive loss")
    shares = [name for name in history[0] if name.endswith("_accuracy")]
    for name, colour in zip(shares, ("#d55e00", "#009e73", "#cc79a7"), strict=False):
        values = [record[name] for record in history]
        below.plot(epochs, values, color=colour, label=name.replace("_", " "))
    below.set(xlabel="epoch", ylabel="share", ylim=(-0.02, 1.02))
    below.xaxis.get_major_locator().set_params(integer=True)
    below.legend(frameon=False, fontsize=9)
    return png_from_figure(figure)


def _write_log(path: Path, head: dict[str, Any], history: Sequence[Record]) -> None:
    lines = [json.dumps(line) for line in (head, *history)]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def _sentence(run: Pretraining, seconds_per_epoch: float) -> str:
    record, pace = run.history[-1], run.options.pace
    left = time_left((pace.epochs - len(run.history)) * seconds_per_epoch)
    at_most = "at most " if pace.schedule == "plateau" else ""
    watched = ", ".join(
        f"{name.replace('_', ' ')} {record[name]:.3f}"
        for name in record
        if name == "loss" or name.endswith("_accuracy")
    )
    return (
        f"epoch {record['epoch']} of {at_most}{pace.epochs}: {watched}; "
        f"{seconds_per_epoch:.1f} s per epoch, {at_most}{left}"
    )
