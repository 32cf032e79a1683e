"""Scoring a smear again as a recorded result says that it was scored."""

from pathlib import Path

import msgspec
from msgspec import UNSET

from vexas_edge.bundle.archive import Bundle, open_bundle
from vexas_edge.bundle.site_file import site_of, site_path
from vexas_edge.choices import AUTO, DEVICES, Device, EngineName, Precision
from vexas_edge.covariates.taken import values_from_models
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import InputError, UsageError
from vexas_edge.ledger.journal import record_from_json, score_from_json
from vexas_edge.ledger.reading import RUNS, place_of_result, read_numbered
from vexas_edge.ledger.runs import Asked, RunStarted
from vexas_edge.results.names import numbered_name
from vexas_edge.results.run import Run
from vexas_edge.results.values import BundleId, CaseScore, SiteId
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.cases import open_case
from vexas_edge.scoring.score import read_for, retyped_smear, score_smear
from vexas_edge.scoring.smears import AnyCase
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import silent


def replayed(
    result: Path,
    smear: Path,
    bundle: Path,
    engine: EngineName,
    device: Device,
    types: Path | None = None,
) -> tuple[CaseScore, CaseScore]:
    """A recorded result, and the result that the same smear has now.

    Args:
        result: a file of `cases/` in a results folder.
        engine, device: "auto" means those of the record.
        types: the other bundle whose models named cells, if there was one.

    Raises:
        InputError: a file cannot be read, or the case had failed.
        UsageError: a bundle, or the site file beside it, is not the recorded one.
        HostError, BundleError: as `score_case`.
    """
    folder, file = place_of_result(result)
    recorded = score_from_json(file, read_numbered(folder, file))
    entry, run, made_with = recorded.entry, recorded.run, recorded.bundle
    if entry is None or run is None or made_with is None:
        raise InputError(f"{result} is no result that was scored ({recorded.error})")
    opened, others = open_bundle(bundle), open_bundle(types) if types else None
    _check_same(opened, made_with)
    _check_same_types(others, recorded.types)
    site = site_of(opened)
    _check_same_site(recorded.site, site.id if site else None, site_path(opened.path))
    record = _start_of_run(folder, entry.run)
    options = _engine_of(run, engine, device)
    precision = msgspec.convert(run.precision, Precision)
    found = FoundCase(name=entry.given, path=smear, alone=record.asked.recursive)
    with (
        Sessions(opened, options, precision, site, others) as sessions,
        open_case(found, opened.manifest, _reading_of(record.asked, sessions)) as case,
    ):
        return recorded, _scored_again(recorded, case, sessions)


def _scored_again(recorded: CaseScore, case: AnyCase, sessions: Sessions) -> CaseScore:
    read = read_for(case, sessions, silent)
    if recorded.retyping:
        read = retyped_smear(read, sessions, silent)
    covariates = values_from_models(recorded.models)
    return score_smear(read, sessions, covariates=covariates, progress=silent)


def _start_of_run(folder: Path, number: int) -> RunStarted:
    started = f"{RUNS}/{numbered_name(number, 'started')}"
    record = record_from_json(started, read_numbered(folder, started))
    if not isinstance(record, RunStarted):
        raise InputError(f"{started} is not the start of a run")
    return record


def _check_same(bundle: Bundle, recorded: BundleId) -> None:
    if bundle.sha256 != recorded.sha256:
        manifest = bundle.manifest
        raise UsageError(
            f"{bundle.path} is {manifest.name} {manifest.version}, of hash {bundle.sha256}; the "
            f"result is of {recorded.name} {recorded.version}, of hash {recorded.sha256}"
        )


def _check_same_types(types: Bundle | None, recorded: BundleId | None) -> None:
    if recorded is None and types is not None:
        raise UsageError("the result was made without --types-from; leave it out")
    if recorded is not None and types is None:
        raise UsageError(
            f"cells were named by {recorded.name} {recorded.version}, of hash {recorded.sha256}; "
            "name that bundle with --types-from"
        )
    if recorded is not None and types is not None:
        _check_same(types, recorded)


def _check_same_site(recorded: SiteId | None, now: SiteId | None, path: Path) -> None:
    if recorded != now:
        raise UsageError(
            f"beside the bundle lies {_site_text(now)} ({path}); the result was made with "
            f"{_site_text(recorded)}: put the site file of that time there, or none if there was "
            "none"
        )


def _site_text(site: SiteId | None) -> str:
    if site is None:
        return "no site file of this bundle"
    return f"that of {site.instrument}, commissioned {site.commissioned}, of hash {site.sha256}"


def _engine_of(run: Run, engine: EngineName, device: Device) -> EngineOptions:
    """The engine that was recorded, unless another one is asked for."""
    recorded = msgspec.convert(run.engine or AUTO, EngineName)
    named = engine if engine != AUTO else recorded
    if device == AUTO and named == recorded and run.device in DEVICES:
        device = msgspec.convert(run.device, Device)
    return EngineOptions(engine=named, device=device, threads=run.threads)


def _reading_of(asked: Asked, sessions: Sessions) -> ReadOptions:
    return ReadOptions(
        layout=asked.layout,
        class_from=asked.class_from,
        cell_type=None if asked.cell_type is UNSET else asked.cell_type,
        class_map=None if asked.class_map is UNSET else asked.class_map,
        unnamed=sessions.typers is not None,
    )
