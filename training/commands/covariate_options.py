"""The options by which covariates are named, and how scores are judged beside them."""

from collections.abc import Callable, Iterable
from typing import Any

import click


def covariate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --covariate, --missing and --halvings; `beside_options` takes their values."""
    options = (
        click.option(
            "--covariate",
            "covariates",
            multiple=True,
            metavar="NAME[=UNIT]",
            help="A column of the cohort to be judged alone and beside the images, such as "
            "age_years=years; may be given several times.",
        ),
        click.option(
            "--missing",
            type=click.Choice(("abstain", "mean")),
            default="abstain",
            show_default=True,
            help="What a missing value of a covariate means: no score, so that no patient here may "
            "lack it, or the mean.",
        ),
        click.option(
            "--halvings",
            is_flag=True,
            help="Judge by ten halvings of the patients, too.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def asked_covariates(covariates: tuple[str, ...], missing: Any, known: Iterable[str]) -> Any:
    """The covariates that were asked for.

    Args:
        known: names of the further columns of the cohort.

    Raises:
        UsageError: a covariate is no column of the cohort, or is named twice.
    """
    from training.judging.stacking import AskedCovariate
    from vexas_edge.errors import UsageError

    asked: list[AskedCovariate] = []
    known = tuple(known)
    if covariates and not known:
        raise UsageError(
            "covariates are further columns of the cohort, and there are none; name a cohort that "
            "has some"
        )
    for text in covariates:
        name, _, unit = text.partition("=")
        if name not in known:
            raise UsageError(
                f"the cohort has no column {name!r}; its further columns are "
                f"{', '.join(known) or 'none'}"
            )
        if name in (one.name for one in asked):
            raise UsageError(f"covariate {name!r} is named twice")
        asked.append(AskedCovariate(name=name, unit=unit, missing=missing))
    return tuple(asked)
