"""The options of the SVM that several commands fit, each defined once."""

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]


def classifier_options(command: Command) -> Command:
    """Add the options of the SVM itself; `svm_from_options` takes their values."""
    options = (
        click.option(
            "--C",
            "C",
            type=float,
            default=1.0,
            show_default=True,
            help="The SVM's C, the penalty for medians on the wrong side of its boundary.",
        ),
        click.option(
            "--gamma",
            type=float,
            default=1.0,
            show_default=True,
            help="Width of the RBF kernel, as a multiple of scikit-learn's gamma='scale'.",
        ),
        click.option(
            "--fixed",
            is_flag=True,
            help="Use --C and --gamma as given instead of choosing the best on inner folds.",
        ),
        click.option(
            "--balanced",
            is_flag=True,
            help="Give rare groups more weight, so that all groups count the same.",
        ),
        click.option(
            "--calibration",
            type=click.Choice(("patients", "libsvm")),
            default="patients",
            show_default=True,
            help="Calibrate probabilities on folds that keep a patient together, or as libsvm "
            "does, which the paper used.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def draw_options(command: Command) -> Command:
    """Add the options of the medians that the SVM is fitted on."""
    options = (
        click.option(
            "--draws",
            type=click.IntRange(1, 10_000),
            default=100,
            show_default=True,
            help="Medians per patient that the SVM is fitted on.",
        ),
        click.option(
            "--draw-size",
            type=click.IntRange(1, 1000),
            default=10,
            show_default=True,
            help="Cells drawn for each median.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0),
            default=0,
            show_default=True,
            help="Seed of the drawing of cells.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def svm_from_options(
    *,
    fixed: bool,
    draws: int | None = None,
    draw_size: int | None = None,
    seed: int | None = None,
    **asked: Any,
) -> Any:
    """The SvmOptions that were asked for; what was not keeps the default there."""
    from training.patients.aggregates import DrawOptions
    from training.patients.classifier import SvmOptions

    of_draws = {"draws": draws, "size": draw_size, "seed": seed}
    given = {name: value for name, value in of_draws.items() if value is not None}
    return SvmOptions(choose=not fixed, draws=DrawOptions(**given), **asked)
