"""What `vexas-edge score` and `vexas-edge watch` are asked for."""

import platform
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from msgspec import UNSET

from vexas_edge.bundle.archive import Bundle, open_bundle
from vexas_edge.bundle.site import KnownSite
from vexas_edge.choices import PageKind, Precision
from vexas_edge.commands.console import say
from vexas_edge.covariates.given import CovariateOptions, GivenCovariates
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import UsageError
from vexas_edge.ledger.runs import Asked
from vexas_edge.naming.case_ids import Naming, NamingOptions
from vexas_edge.runtime.session import Sessions
from vexas_edge.smear.options import ReadOptions
from vexas_edge.text import path_as_given


@dataclass(frozen=True, kw_only=True)
class SmearsAsked:
    """Which smears are looked at, what they are called, and with what."""

    cases: tuple[Path, ...]
    bundle: Path
    recursive: bool = False
    reading: ReadOptions = field(default_factory=ReadOptions)
    naming: NamingOptions = field(default_factory=NamingOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)
    precision: Literal["auto"] | Precision = "auto"


@dataclass(frozen=True, kw_only=True)
class ScoringRun(SmearsAsked):
    """What was asked for: the arguments and options of `vexas-edge score`.

    types: another bundle, whose models name cells.
    retype: whether models that name cells are asked of those that have a name, too.
    """

    types: Path | None = None
    retype: bool = False
    out: Path | None = None
    polite: bool = False
    again: bool = False
    as_json: bool = False
    record_host: bool = False
    covariates: CovariateOptions = field(default_factory=CovariateOptions)
    pages: PageKind = "with pictures"


def asked_from_run(run: ScoringRun, naming: Naming) -> Asked:
    """What a run was asked for, as its record has it."""
    reading, engine = run.reading, run.engine
    return Asked(
        cases=tuple(naming.shown(path_as_given(path)) for path in run.cases),
        bundle=path_as_given(run.bundle),
        out=path_as_given(run.out) if run.out else "",
        recursive=run.recursive,
        layout=reading.layout,
        class_from=reading.class_from,
        cell_type=reading.cell_type or UNSET,
        class_map=path_as_given(Path(reading.class_map)) if reading.class_map else UNSET,
        case_id=run.naming.case_id or UNSET,
        worklist=path_as_given(run.naming.worklist) if run.naming.worklist else UNSET,
        covariates=path_as_given(run.covariates.table) if run.covariates.table else UNSET,
        types=path_as_given(run.types) if run.types else UNSET,
        retype=run.retype,
        hash_ids=naming.mark,
        engine=engine.engine,
        device=engine.device,
        precision=run.precision,
        threads=engine.threads or UNSET,
        polite=run.polite,
        again=run.again,
        as_json=run.as_json,
        host=platform.node() if run.record_host else UNSET,
        pages=run.pages,
    )


@dataclass(frozen=True, kw_only=True)
class OpenedBundles:
    """The bundles of a run.

    types: another one whose models name cells; None where none was given.
    reading: how names are read; cells that nobody has named are read where a model names them.
    """

    bundle: Bundle
    types: Bundle | None
    reading: ReadOptions

    def sessions(
        self, engine: EngineOptions, precision: Literal["auto"] | Precision, site: KnownSite | None
    ) -> Sessions:
        """The engines that score; arguments are as `Sessions` has them."""
        return Sessions(self.bundle, engine, precision, site, self.types)


def opened_bundles(asked: ScoringRun) -> OpenedBundles:
    """Open what a run scores with.

    Raises:
        BundleError: as `open_bundle`.
        UsageError: nothing names cells that are to be named anew, or the cells that are to be named
            are rows of tables.
    """
    bundle, types = open_bundle(asked.bundle), open_bundle(asked.types) if asked.types else None
    if types:
        bundle.check_takes_images("--types-from")
    names_cells = bool((types or bundle).manifest.typing)
    if asked.retype and not names_cells:
        raise UsageError("--retype needs a model that names cells; give one with --types-from")
    reading = replace(asked.reading, unnamed=names_cells)
    return OpenedBundles(bundle=bundle, types=types, reading=reading)


def given_for_run(asked: ScoringRun, bundle: Bundle) -> GivenCovariates:
    """What is known of the patients; says which columns of the table no model takes.

    Raises:
        UsageError, InputError: as `GivenCovariates`.
    """
    models = bundle.manifest.models.values()
    given = GivenCovariates(asked.covariates, (c for model in models for c in model.covariates))
    for remark in given.remarks:
        say(remark)
    return given
