"""Scoring a case: from cells to encodings in chunks, and to probabilities by the exact head."""

import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

import numpy as np

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.models import Medians
from vexas_edge.bundle.site_file import site_of
from vexas_edge.bundle.words import missing_gate
from vexas_edge.cells.images import decoder
from vexas_edge.covariates.given import texts_of
from vexas_edge.errors import HostError, UsageError
from vexas_edge.results.values import (
    NOTICE,
    SYNTHETIC_NOTICE,
    BundleId,
    CaseScore,
    ModelScore,
    Run,
    SiteId,
    Status,
    UsedCell,
)
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.answering import answered, answered_past_the_gate
from vexas_edge.scoring.encoded import Examined
from vexas_edge.scoring.encoding import encode_cells
from vexas_edge.scoring.examining import (
    count_cells,
    judged_cells,
    with_covariates,
    with_slide_faults,
    without_cells,
)
from vexas_edge.scoring.reading import ReadSmear, read_smear
from vexas_edge.scoring.typing import TypedSmear, typed_as_known, typed_smear
from vexas_edge.smear.case import UNNAMED, Case
from vexas_edge.talk import Progress, silent
from vexas_edge.text import unicode_text
from vexas_edge.typing.differential import differential
from vexas_edge.version import __version__

NONE_GIVEN: Mapping[str, str] = MappingProxyType({})
# From a model's examined cells to its result.
Answer = Callable[[Examined, Sessions], ModelScore]


def score_case(
    case: Case,
    bundle: Bundle,
    sessions: Sessions | None = None,
    *,
    covariates: Mapping[str, str | float] = NONE_GIVEN,
    chunk_cells: int | None = None,
    progress: Progress | None = None,
) -> CaseScore:
    """The case's result: for each model of the bundle, a score or the reasons to abstain.

    Args:
        sessions: the bundle's engines, to be shared between cases; None opens some for this case,
            with the site file beside the bundle.
        covariates: what is known of the patient, by the covariate's name, for the models that take
            it; each abstains without what it must know.
        chunk_cells: how many cells go into one call of the engine; None chooses a suitable number.
            The scores do not depend on it.
        progress: called with (model, cells done, cells in all), and before that with
            ("MODEL read", cells read, cells in all).

    Raises:
        UsageError: the sessions are those of another bundle, or no model takes a covariate.
        HostError: the engine is not available, or returns numbers that fail the cross-check.
        BundleError: a file of the bundle does not match its hash, or the site file is damaged.

    >>> bundle = open_bundle(demo / "demo.vxb")
    >>> with read_case(demo / "smear.zip") as case:
    ...     result = score_case(case, bundle)
    >>> result.status, [(model.model, model.call) for model in result.models]
    ('scored', [('neutrophil', True), ('monocyte', True)])
    """
    progress = progress or silent
    taken = (one for model in bundle.manifest.models.values() for one in model.covariates)
    texts = texts_of(covariates, taken)
    own = Sessions(bundle, site=site_of(bundle)) if sessions is None else nullcontext(sessions)
    with own as opened:
        read = _read_checked(case, bundle, opened, progress)
        return score_smear(
            read, opened, covariates=texts, chunk_cells=chunk_cells, progress=progress
        )


def score_past_the_gate(case: Case, bundle: Bundle, sessions: Sessions | None = None) -> CaseScore:
    """The same, but a model that has cells enough answers whatever its domain gate says.

    For each covariate it takes the mean of the training patients.

    It is for measuring a bundle on known cases, and never for a result that is handed on: the
    number may be wrong without a sign of it. The gate does its work all the same.

    Raises:
        UsageError, HostError, BundleError: as `score_case`.
    """
    with Sessions(bundle) if sessions is None else nullcontext(sessions) as opened:
        read = _read_checked(case, bundle, opened, silent)
        return score_smear(read, opened, answer=answered_past_the_gate, progress=silent)


def _read_checked(case: Case, bundle: Bundle, sessions: Sessions, progress: Progress) -> ReadSmear:
    if sessions.bundle.sha256 != bundle.sha256:
        raise UsageError(
            "the sessions are those of another bundle than the one to score with; open some for "
            "this bundle, or leave them out"
        )
    return read_smear(case, bundle, progress, threads=sessions.threads)


def score_smear(
    read: ReadSmear,
    sessions: Sessions,
    *,
    covariates: Mapping[str, str] = NONE_GIVEN,
    answer: Answer = answered,
    chunk_cells: int | None = None,
    progress: Progress,
) -> CaseScore:
    """The result of a case whose cells were read already, with the sessions of the same bundle.

    Args:
        answer: gives each model's result, once its cells are examined.
        covariates, chunk_cells, progress: as `score_case` has them.

    Raises:
        HostError, BundleError: as `score_case`.
    """
    typed = typed_smear(read, sessions, chunk_cells, progress)
    read = typed.read
    found = [
        with_covariates(
            _examined(read, name, sessions, chunk_cells, progress), model.covariates, covariates
        )
        for name, model in sessions.bundle.manifest.models.items()
    ]
    models = tuple(answer(examined, sessions) for examined in with_slide_faults(found))
    run = _run_facts(sessions, read.started, time.perf_counter() - read.clock)
    made_by = _MadeBy(
        bundle=sessions.bundle, types=types_id(sessions), site=sessions.site_id, run=run
    )
    return _case_score(typed, models, made_by)


def score_as_known(read: ReadSmear, known: CaseScore, bundle: Bundle) -> CaseScore:
    """The result of a case whose cells are those of a known result, without an engine.

    The answers, and how they were made, are the known result's; paths and copies are the case's.

    Args:
        known: of the same bundle and version, and of the same cells by pixels and class.
    """
    typed = typed_as_known(read, known, bundle.manifest)
    read = typed.read
    models = tuple(
        replace(model, cells=_cells_as_known(read.of_models[model.model].records, model.cells))
        if model.model in read.of_models
        else model
        for model in known.models
    )
    made_by = _MadeBy(bundle=bundle, types=known.types, site=known.site, run=known.run)
    return _case_score(typed, models, made_by)


def _cells_as_known(
    records: tuple[UsedCell, ...], known: tuple[UsedCell, ...]
) -> tuple[UsedCell, ...]:
    """The records of cells that were read, with what became of the same cells in a known result."""
    became = {cell.identity: cell for cell in known if cell.status != "duplicate"}

    def as_known(record: UsedCell) -> UsedCell:
        if record.status != "used":
            return record
        same = became[record.identity]
        return replace(record, status=same.status, reason=same.reason, detail=same.detail)

    return tuple(map(as_known, records))


def failed_case(name: str, error: str, sessions: Sessions) -> CaseScore:
    """The result of a case that could not be scored at all."""
    bundle = sessions.bundle
    return CaseScore(
        missing_gate=missing_gate(bundle.manifest) or None,
        case=name,
        status="failed",
        notice=_notice(bundle),
        lead=bundle.manifest.lead,
        bundle=bundle_id(bundle),
        types=types_id(sessions),
        site=sessions.site_id,
        error=unicode_text(error),
    )


def _notice(bundle: Bundle) -> str:
    return f"{SYNTHETIC_NOTICE} {NOTICE}" if bundle.manifest.synthetic else NOTICE


def bundle_id(bundle: Bundle) -> BundleId:
    """What a result says about the bundle that made it."""
    manifest = bundle.manifest
    return BundleId(
        name=manifest.name,
        version=manifest.version,
        sha256=bundle.sha256,
        positive=manifest.positive,
        synthetic=manifest.synthetic,
    )


def types_id(sessions: Sessions) -> BundleId | None:
    """The other bundle whose models name cells, for the record."""
    return bundle_id(sessions.types) if sessions.types else None


def _examined(
    read: ReadSmear, name: str, sessions: Sessions, chunk_cells: int | None, progress: Progress
) -> Examined:
    """The model's cells, encoded and judged."""
    counted = counted_model(read, name, sessions, progress, chunk_cells)
    return judged_cells(counted, sessions.reference(name), sessions.centre(name))


def counted_model(
    read: ReadSmear,
    name: str,
    sessions: Sessions,
    progress: Progress,
    chunk_cells: int | None = None,
) -> Examined:
    """The model's cells, encoded and counted; its domain gate has not judged them.

    Raises:
        HostError, BundleError, InputError: as `score_case`.
    """
    model, cells = sessions.bundle.manifest.models[name], read.of_models.get(name)
    if cells is None:
        return without_cells(name, model)
    encoded = encode_cells(cells, name, sessions, chunk_cells, progress)
    if not np.isfinite(encoded.encodings).all():
        raise HostError(
            f"model {name}: the engine returned encodings that are not finite; "
            "run `vexas-edge verify` on this PC"
        )
    return count_cells(name, model, cells, encoded, sessions.reference(name))


@dataclass(frozen=True, kw_only=True)
class _MadeBy:
    """What a result was made by, as `CaseScore` has it."""

    bundle: Bundle
    types: BundleId | None
    site: SiteId | None
    run: Run | None


def _case_score(typed: TypedSmear, models: tuple[ModelScore, ...], made_by: _MadeBy) -> CaseScore:
    bundle, case = made_by.bundle, typed.read.case
    manifest, bystanders = bundle.manifest, typed.read.bystanders
    deciding = [m for m in models if manifest.lead in (None, m.model)]
    is_answered = any(m.status == "scored" for m in deciding) or not manifest.models
    status: Status = "scored" if is_answered else "abstained"
    seen = [*(cell for model in models for cell in model.cells), *typed.cells]
    unknown = () if typed.typing else case.unnamed
    ignored = Counter(file.reason for file in case.ignored) + Counter("no_class" for _ in unknown)
    copies = {cell.path for cell in typed.read.records if cell.status == "duplicate"}
    return CaseScore(
        missing_gate=missing_gate(manifest) or None,
        case=case.name,
        status=status,
        notice=_notice(bundle),
        call=deciding[0].call if len(deciding) == 1 else None,
        lead=manifest.lead,
        models=models,
        unreadable=_with_status(seen, "unreadable"),
        rejected=_with_status(seen, "rejected"),
        duplicates=_with_status(seen, "duplicate"),
        ignored=dict(sorted(ignored.items())),
        conflicts=case.conflicts,
        classes=_classes(case),
        typing=typed.typing,
        typed_cells=typed.cells,
        bystanders=bystanders.records if bystanders else (),
        differential=differential(case.cells, copies, typed.cells),
        bundle=bundle_id(bundle),
        types=made_by.types,
        site=made_by.site,
        run=made_by.run,
    )


def _classes(case: Case) -> dict[str, int]:
    """How many images there are of each class that names say."""
    named = (cell.cell_class for cell in case.cells if cell.cell_class != UNNAMED)
    return dict(sorted(Counter(named).items()))


def _with_status(seen: Iterable[UsedCell], status: str) -> tuple[UsedCell, ...]:
    cells = {cell.path: cell for cell in seen if cell.status == status}
    return tuple(cells[path] for path in sorted(cells))


def _run_facts(sessions: Sessions, started: datetime, seconds: float) -> Run:
    manifest, engine = sessions.bundle.manifest, sessions.used()
    return Run(
        vexas_edge=__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        decoder=decoder(),
        engine=engine.name if engine else None,
        engine_version=engine.version if engine else None,
        device=engine.device if engine else None,
        threads=engine.threads if engine else None,
        precision=sessions.graph.precision,
        choice_reason=sessions.graph.reason,
        seeds={
            name: model.aggregation.seed
            for name, model in manifest.models.items()
            if isinstance(model.aggregation, Medians)
        },
        started=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
    )
