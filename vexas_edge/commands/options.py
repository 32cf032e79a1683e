"""The options that several commands share, each defined once.

A decorator adds options to a command, which then gets one value that is made of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import click

from vexas_edge.choices import AUTO, DEVICES, ENGINES, PRECISIONS, ClassFrom, Layout
from vexas_edge.smear.options import ReadOptions

PATH = click.Path(path_type=Path)
# A case that may not be read is one failed case, and no wrong usage.
_CASE = click.Path(path_type=Path, readable=False)

Command = Callable[..., Any]


def case_arguments(command: Command) -> Command:
    """Add CASE... and --recursive; the command gets `cases` and `recursive`."""
    options = (
        click.argument("cases", nargs=-1, required=True, type=_CASE, metavar="CASE..."),
        click.option(
            "--recursive", is_flag=True, help="Take every smear that lies below each CASE."
        ),
    )
    return _with_options(command, options)


def reading_options(command: Command) -> Command:
    """Add the options that say how names are read; the command gets `reading`, a ReadOptions."""
    words = ("layout", "class_from", "cell_type", "class_map")

    @wraps(command)
    def with_reading(**chosen: Any) -> Any:
        reading = ReadOptions(**{word: chosen.pop(word) for word in words})
        return command(reading=reading, **chosen)

    options = (
        click.option(
            "--layout",
            type=click.Choice(get_args(Layout)),
            default=default_of(ReadOptions, "layout"),
            show_default=True,
            help="How folders are arranged: a CellaVision tree, one folder per class, or all flat.",
        ),
        click.option(
            "--class-from",
            type=click.Choice(get_args(ClassFrom)),
            default=default_of(ReadOptions, "class_from"),
            show_default=True,
            help="Which name to trust where the folder and the file's prefix name different "
            "classes; agree scores neither.",
        ),
        click.option(
            "--cell-type",
            metavar="CLASS",
            help="The class of all images that are not in a class folder, such as lymphocyte.",
        ),
        click.option(
            "--class-map",
            metavar="NAME|FILE",
            help="The vocabulary of class names: cellavision (the default), barcelona, munich, "
            "vexas, or a TOML file of your own.",
        ),
    )
    return _with_options(with_reading, options)


def naming_options(command: Command) -> Command:
    """Add the options that say what cases are called; the command gets `naming`.

    A command that has an option --hash-ids before these hashes ids, too.
    """

    @wraps(command)
    def with_naming(
        case_id: str | None, worklist: Path | None, hash_ids: Path | None = None, **chosen: Any
    ) -> Any:
        from vexas_edge.naming.case_ids import NamingOptions

        naming = NamingOptions(case_id=case_id, worklist=worklist, hash_ids=hash_ids)
        return command(naming=naming, **chosen)

    options = (
        click.option(
            "--case-id",
            metavar="PATTERN",
            help="Which part of a smear's path is its case id: {id}_* where folders are called "
            "B12_blood, {id}/* for the folder above.",
        ),
        click.option(
            "--worklist",
            type=PATH,
            metavar="CSV",
            help="A file with the columns path and case, which names the case at each path.",
        ),
    )
    return _with_options(with_naming, options)


def hashing_option() -> Command:
    """The option --hash-ids."""
    return click.option(
        "--hash-ids",
        type=PATH,
        metavar="KEYFILE",
        help="Hash case ids and paths with the secret in KEYFILE in all that is written or printed "
        "as a result.",
    )


def covariate_options(*, single: bool) -> Command:
    """Add the options that say what is known of patients; the command gets `covariates`.

    Args:
        single: whether there may be a single case, of which options can say it.
    """

    def add(command: Command) -> Command:
        @wraps(command)
        def with_covariates(table: Path | None, given: Sequence[str] = (), **chosen: Any) -> Any:
            from vexas_edge.covariates.given import CovariateOptions

            options = CovariateOptions(single=tuple(given), table=table)
            return command(covariates=options, **chosen)

        of_one = click.option(
            "--covariate",
            "given",
            multiple=True,
            metavar="NAME=VALUE",
            help="What is known of the patient of a single case, such as age_years=63, for a "
            "bundle that takes it; may be repeated.",
        )
        of_all = click.option(
            "--covariates",
            "table",
            type=PATH,
            metavar="CSV",
            help="A file with the column case and one for each covariate that the bundle takes, "
            "which says what is known of each case.",
        )
        return _with_options(with_covariates, (of_one, of_all) if single else (of_all,))

    return add


def retype_option() -> Command:
    """The option --retype."""
    return click.option(
        "--retype",
        is_flag=True,
        help="Let the model that names cells look at those with a class, too, and say which it "
        "would name otherwise; nothing goes by that. Results that are there already stay as they "
        "are.",
    )


def types_option() -> Command:
    """The option --types-from."""
    return click.option(
        "--types-from",
        "types",
        type=PATH,
        metavar="TYPES.vxb",
        help="A bundle whose model names the cells that have no class, such as those of an "
        "unsigned slide; a class that names say is never changed.",
    )


def record_host_option() -> Command:
    """The option --record-host."""
    return click.option(
        "--record-host",
        is_flag=True,
        help="Write the name of this PC into the record of the run, which else holds none.",
    )


def page_options(command: Command) -> Command:
    """Add the options for the pages of results; the command gets `pages`."""

    @wraps(command)
    def with_pages(no_report: bool, no_images: bool, **chosen: Any) -> Any:
        pages = "none" if no_report else "without pictures" if no_images else "with pictures"
        return command(pages=pages, **chosen)

    options = (
        click.option(
            "--no-report", is_flag=True, help="Write no page for each result, only the index."
        ),
        images_option(),
    )
    return _with_options(with_pages, options)


def images_option() -> Command:
    """The option --no-images."""
    return click.option("--no-images", is_flag=True, help="Show no picture of a cell on pages.")


def engine_options(command: Command) -> Command:
    """Add the options for the bundle and for what runs it.

    The command gets `bundle`, `engine`, which is an EngineOptions, and `precision`.
    """

    @wraps(command)
    def with_engine(device: Any, threads: int | None, engine: Any, **chosen: Any) -> Any:
        from vexas_edge.engines.contract import EngineOptions

        options = EngineOptions(engine=engine, device=device, threads=threads)
        return command(engine=options, **chosen)

    options = (
        bundle_option(required=True),
        engine_option(),
        device_option(),
        click.option(
            "--precision",
            type=click.Choice((AUTO, *PRECISIONS)),
            default=AUTO,
            show_default=True,
            help="What the network computes in; auto takes the cheapest precision that was tested.",
        ),
        threads_option(),
    )
    return _with_options(with_engine, options)


def engine_option() -> Command:
    """The option --engine."""
    return click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default=AUTO,
        show_default=True,
        help="The library that runs the network; auto takes what `prepare` found fastest here.",
    )


def device_option() -> Command:
    """The option --device."""
    return click.option(
        "--device",
        type=click.Choice(DEVICES),
        default=AUTO,
        show_default=True,
        help="Where the network runs. A device that is named is used or refused, never replaced.",
    )


def threads_option() -> Command:
    """The option --threads."""
    return click.option(
        "--threads",
        type=click.IntRange(1, 256),
        help="How many threads compute.  [default: as many as there are cores, at most 8]",
    )


def bundle_option(*, required: bool) -> Command:
    """The option --bundle, which $VEXAS_EDGE_BUNDLE may stand in for."""
    return click.option(
        "--bundle",
        type=PATH,
        envvar="VEXAS_EDGE_BUNDLE",
        required=required,
        help="The bundle, a .vxb file or its folder.  [or $VEXAS_EDGE_BUNDLE]",
    )


def default_of(options: type, name: str) -> Any:
    """The default of a dataclass's field, to be used as the option's default too."""
    (found,) = (field.default for field in fields(options) if field.name == name)
    if found is MISSING:
        raise ValueError(f"{options.__name__}.{name} has no default")
    return found


def _with_options(command: Command, options: Sequence[Any]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
