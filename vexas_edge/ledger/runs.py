"""What a run leaves on disk beside the results: what was asked for, and how it ended."""

from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec import UNSET, UnsetType

from vexas_edge.choices import ClassFrom, Layout, PageKind
from vexas_edge.results.values import RESULT_SCHEMA, BundleId, SiteId
from vexas_edge.version import __version__


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What `vexas-edge score` or `vexas-edge watch` was asked for.

    cases, bundle, out: the paths as they were given; of absolute paths the last part, here and in
    what follows.
    cell_type, class_map, threads: left out where they were not given.
    case_id, worklist: how cases were named; left out where they were named after their folders.
    covariates: the table of covariates; left out where there was none.
    types: the bundle whose models name cells; left out where none was given.
    retype: whether these were asked of cells that have a name, too.
    hash_ids: the mark of the key that ids were hashed with, and paths of cases; empty for none.
    again: whether cases that had a result were scored again.
    as_json: whether results were printed as JSON.
    host: the name of the PC; left out unless --record-host asked for it.
    pages: whether each result got a page, and that pictures.
    """

    cases: tuple[str, ...]
    bundle: str
    out: str
    recursive: bool
    layout: Layout
    class_from: ClassFrom
    cell_type: str | UnsetType = UNSET
    class_map: str | UnsetType = UNSET
    case_id: str | UnsetType = UNSET
    worklist: str | UnsetType = UNSET
    covariates: str | UnsetType = UNSET
    types: str | UnsetType = UNSET
    retype: bool = False
    hash_ids: str = ""
    engine: str
    device: str
    precision: str
    threads: int | UnsetType = UNSET
    polite: bool
    again: bool
    as_json: bool
    host: str | UnsetType = UNSET
    pages: PageKind


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """The record of a run that has made a result. A run without a RunEnded was cut off.

    vexas_edge: the version of vexas-edge.
    types: another bundle whose models name cells; null where none was given.
    site: null where no site file of this bundle lay beside it.
    started: UTC, ISO 8601.
    """

    number: int
    vexas_edge: str
    asked: Asked
    bundle: BundleId
    types: BundleId | None = None
    site: SiteId | None = None
    started: str
    schema_version: int = RESULT_SCHEMA


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnded:
    """The end of a run.

    run: the number of its RunStarted.
    seconds: how long it took; it is not the difference of two times of day, which somebody may set.
    ended_by: the error or the interruption that ended it early; null where it was completed.
    results: the numbers of the results that it made, in order.
    known: how many more of its cases had their result already.
    """

    number: int
    run: int
    seconds: float
    ended_by: str | None
    results: tuple[int, ...]
    known: int
    schema_version: int = RESULT_SCHEMA


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmed:
    """Somebody has confirmed that results which were held are what their names say.

    results: their numbers.
    confirmed: UTC, ISO 8601.
    """

    number: int
    results: tuple[int, ...]
    confirmed: str
    schema_version: int = RESULT_SCHEMA


@dataclass(frozen=True, kw_only=True, slots=True)
class Mended:
    """Smears that had failed were found to be those that have a result.

    results: the numbers of the failures.
    mended: UTC, ISO 8601.
    """

    number: int
    results: tuple[int, ...]
    mended: str
    schema_version: int = RESULT_SCHEMA


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """Results that others tell of were not there when the tables were made anew.

    results: their numbers.
    noticed: UTC, ISO 8601.
    """

    number: int
    results: tuple[int, ...]
    noticed: str
    schema_version: int = RESULT_SCHEMA


# What lies in `runs/`.
RunRecord = RunStarted | RunEnded | Confirmed | Mended | Removed


def begun_run(
    asked: Asked,
    bundle: BundleId,
    started: datetime,
    site: SiteId | None,
    types: BundleId | None,
) -> RunStarted:
    """The record of a run that begins; it gets its number with the run's first result."""
    return RunStarted(
        number=0,
        vexas_edge=__version__,
        asked=asked,
        bundle=bundle,
        types=types,
        site=site,
        started=started.isoformat(timespec="seconds"),
    )


def ended_run(
    run: RunStarted,
    number: int,
    seconds: float,
    results: tuple[int, ...],
    ended_by: str | None,
    known: int,
) -> RunEnded:
    """The record of a run that ends now; arguments are as `RunEnded` has them."""
    return RunEnded(
        number=number,
        run=run.number,
        seconds=round(seconds, 3),
        ended_by=ended_by,
        results=results,
        known=known,
    )


def utc_now() -> str:
    """The time now, as records have it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
