"""Scoring a case: from cells to encodings in chunks, and to probabilities by the exact head."""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.site_file import site_of
from vexas_edge.cells.vectors.case import TableCase
from vexas_edge.covariates.given import texts_of
from vexas_edge.errors import UsageError
from vexas_edge.results.values import CaseScore, ModelScore, UsedCell
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.abstention import with_unnamed
from vexas_edge.scoring.answering import answered, answered_past_the_gate
from vexas_edge.scoring.encoded import Examined
from vexas_edge.scoring.encoding import cell_probabilities, encode_cells
from vexas_edge.scoring.images.examining import (
    count_cells,
    judged_cells,
    with_slide_faults,
    without_cells,
)
from vexas_edge.scoring.images.reading import ReadCells
from vexas_edge.scoring.images.smears import read_smear
from vexas_edge.scoring.smears import AnyCase, ReadCase, ReadSmear, TypedSmear
from vexas_edge.scoring.typed.asking import Ask
from vexas_edge.scoring.typed.naming import typed_as_known, typed_smear
from vexas_edge.scoring.typed.retyping import retyped
from vexas_edge.scoring.typed.said import NONE_KNOWN, SaidOfCells
from vexas_edge.scoring.typed.sharing import known_encodings, shared_encodings
from vexas_edge.scoring.vectors.examining import examined_rows
from vexas_edge.scoring.vectors.reading import ReadTable
from vexas_edge.scoring.vectors.tables import read_table_for
from vexas_edge.scoring.whole import MadeBy, Seen, case_score, run_facts, types_id
from vexas_edge.talk import Progress, silent

NONE_GIVEN: Mapping[str, str] = MappingProxyType({})
# From a model's examined cells to its result.
Answer = Callable[[Examined, Sessions], ModelScore]


def score_case(
    case: AnyCase,
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
        UsageError: the sessions are those of another bundle, no model takes a covariate, or the
            bundle takes images and the case is a table, or the other way round.
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
            read,
            opened,
            covariates=texts,
            chunk_cells=chunk_cells,
            progress=progress,
        )


def score_past_the_gate(
    case: AnyCase, bundle: Bundle, sessions: Sessions | None = None
) -> CaseScore:
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


def _read_checked(
    case: AnyCase, bundle: Bundle, sessions: Sessions, progress: Progress
) -> ReadCase:
    if sessions.bundle.sha256 != bundle.sha256:
        raise UsageError(
            "the sessions are those of another bundle than the one to score with; open some for "
            "this bundle, or leave them out"
        )
    return read_for(case, sessions, progress)


def read_for(case: AnyCase, sessions: Sessions, progress: Progress) -> ReadCase:
    """All cells that these sessions look at: all of the case's where a model names cells.

    Raises:
        UsageError: the bundle takes images and the case is a table, or the other way round.
        InputError, MemoryError: as `read_smear`, or as `read_table_for`.
    """
    manifest, whole = sessions.bundle.manifest, sessions.typers is not None
    if isinstance(case, TableCase) != manifest.takes_tables:
        takes = "tables" if manifest.takes_tables else "images"
        raise UsageError(f"{sessions.bundle.path} takes {takes} of cells, which {case.name} is not")
    if isinstance(case, TableCase):
        return read_table_for(case, sessions.bundle, progress)
    return read_smear(case, manifest, progress, threads=sessions.threads, whole=whole)


def score_smear(
    read: ReadCase,
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
    seen: Seen = (
        read if isinstance(read, ReadTable) else named_smear(read, sessions, chunk_cells, progress)
    )
    found = [
        _examined(seen, name, sessions, chunk_cells, progress).with_covariates(
            model.covariates, covariates
        )
        for name, model in sessions.bundle.manifest.models.items()
    ]
    typing = seen.typing if isinstance(seen, TypedSmear) else None
    judged = (
        replace(one, reasons=with_unnamed(one.reasons, typing)) for one in with_slide_faults(found)
    )
    models = tuple(answer(examined, sessions) for examined in judged)
    run = run_facts(sessions, read.started, time.perf_counter() - read.clock)
    made_by = MadeBy(
        bundle=sessions.bundle, types=types_id(sessions), site=sessions.site_id, run=run
    )
    return case_score(seen, models, made_by)


def named_smear(
    read: ReadSmear, sessions: Sessions, chunk_cells: int | None, progress: Progress
) -> TypedSmear:
    """The smear with the names that models give its unnamed cells, if any names cells.

    Raises:
        HostError, BundleError, InputError: as `score_case`.
    """
    typers = sessions.typers
    if typers is None:
        return TypedSmear(read=read)
    ask = _asking(typers, chunk_cells, progress)
    return typed_smear(read, typers.bundle.manifest, ask, sessions.bundle.manifest)


def retyped_smear(read: ReadCase, sessions: Sessions, progress: Progress) -> ReadSmear:
    """The smear with what models that name cells say of those that have a name.

    Raises:
        UsageError: no model names cells, or they are the rows of a table.
        HostError, BundleError, InputError: as `score_case`.
    """
    typers = sessions.typers
    if typers is None or isinstance(read, ReadTable):
        raise UsageError(f"{sessions.bundle.path} holds no model that names cells")
    return retyped(read, typers.bundle.manifest, _asking(typers, None, progress))


def _asking(typers: Sessions, chunk_cells: int | None, progress: Progress) -> Ask:
    """Asks models that name cells, of which those with one encoder see each cell once."""
    given: dict[str, Mapping[str, NDArray[np.float32]]] = {}

    def ask(cells: ReadCells, name: str) -> SaidOfCells:
        known = shared_encodings(given, typers, name, typers)
        said = cell_probabilities(
            cells,
            name,
            sessions=typers,
            chunk_cells=chunk_cells,
            progress=progress,
            known=known,
        )
        given[name] = said.encodings
        return said

    return ask


def score_as_known(read: ReadCase, known: CaseScore, bundle: Bundle) -> CaseScore:
    """The result of a case whose cells are those of a known result, without an engine.

    The answers, and how they were made, are the known result's; paths and copies are the case's.

    Args:
        known: of the same bundle and version, and of the same cells by pixels and class.
    """
    seen: Seen = (
        read if isinstance(read, ReadTable) else typed_as_known(read, known, bundle.manifest)
    )
    cells = seen.of_models if isinstance(seen, ReadTable) else seen.read.of_models
    models = tuple(
        replace(model, cells=_cells_as_known(cells[model.model].records, model.cells))
        if model.model in cells
        else model
        for model in known.models
    )
    made_by = MadeBy(bundle=bundle, types=known.types, site=known.site, run=known.run)
    score = case_score(seen, models, made_by)
    return replace(score, bystanders=_cells_as_known(score.bystanders, known.bystanders))


def _cells_as_known(
    records: tuple[UsedCell, ...], known: tuple[UsedCell, ...]
) -> tuple[UsedCell, ...]:
    """The records of cells that were read, with what became of the same cells in a known result."""
    became = {cell.identity: cell for cell in known if cell.status != "duplicate"}

    def as_known(record: UsedCell) -> UsedCell:
        if record.status != "used":
            return record
        same = became[record.identity]
        return replace(
            record,
            status=same.status,
            reason=same.reason,
            detail=same.detail,
            predicted_class=same.predicted_class,
            probability=same.probability,
        )

    return tuple(map(as_known, records))


def _examined(
    seen: Seen, name: str, sessions: Sessions, chunk_cells: int | None, progress: Progress
) -> Examined:
    """The model's cells, encoded and judged."""
    if isinstance(seen, ReadTable):
        model, rows = sessions.bundle.manifest.models[name], seen.of_models[name]
        encoded = encode_cells(rows, name, sessions, chunk_cells, progress)
        return examined_rows(name, model, rows, encoded, sessions.familiar(name))
    known = known_encodings(seen, name, sessions)
    counted = counted_model(seen.read, name, sessions, progress, chunk_cells, known)
    return judged_cells(counted, sessions.reference(name), sessions.centre(name))


def counted_model(
    read: ReadSmear,
    name: str,
    sessions: Sessions,
    progress: Progress,
    chunk_cells: int | None = None,
    known: Mapping[str, NDArray[np.float32]] = NONE_KNOWN,
) -> Examined:
    """The model's cells, encoded and counted; its domain gate has not judged them.

    Raises:
        HostError, BundleError, InputError: as `score_case`.
    """
    model, cells = sessions.bundle.manifest.models[name], read.of_models.get(name)
    if cells is None:
        return without_cells(name, model)
    encoded = encode_cells(cells, name, sessions, chunk_cells, progress, known)
    return count_cells(name, model, cells, encoded, sessions.reference(name))
