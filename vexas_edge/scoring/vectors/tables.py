"""A table as a bundle's models take it."""

import time
from datetime import UTC, datetime
from functools import partial

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.graphs import FEATURES_FILE
from vexas_edge.cells.vectors.case import TableCase
from vexas_edge.cells.vectors.matching import WantedFeatures
from vexas_edge.errors import BundleError
from vexas_edge.scoring.vectors import reading
from vexas_edge.scoring.vectors.reading import ReadTable, read_rows
from vexas_edge.talk import Progress


def read_table_for(case: TableCase, bundle: Bundle, progress: Progress) -> ReadTable:
    """All cells of a table as the bundle's models take them; no engine is needed.

    Raises:
        InputError: it cannot be read, or holds what no model of the bundle can take.
        BundleError: the names of a model's features cannot be read.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    sha256 = case.sha256()
    room = reading.KEPT_ROWS_BYTES // len(bundle.manifest.models)
    of_models = {
        name: read_rows(
            case, wanted_features(bundle, name), partial(progress, f"{name} read"), room
        )
        for name in bundle.manifest.models
    }
    case.check_unchanged()
    return ReadTable(
        case=case,
        sha256=sha256,
        of_models=of_models,
        started=started,
        clock=clock,
    )


def wanted_features(bundle: Bundle, name: str) -> WantedFeatures:
    """What a model of a bundle takes.

    Raises:
        BundleError: its list of features is damaged, or not as long as the manifest says.
    """
    vectors = bundle.manifest.networks[name].vectors
    content = bundle.model_file(name, FEATURES_FILE)
    try:
        names = tuple(content.decode().removesuffix("\n").split("\n"))
    except UnicodeDecodeError as error:
        raise BundleError(f"{bundle.path}: {FEATURES_FILE} of model {name!r}: {error}") from error
    wanted = WantedFeatures(names=names, kind=vectors.names, are_counts=vectors.counts)
    if len(wanted.places) != vectors.n_features or len(names) != len(wanted.places):
        raise BundleError(
            f"{bundle.path}: {FEATURES_FILE} of model {name!r} names {len(wanted.places)} "
            f"different features in {len(names)} lines; the manifest says "
            f"{vectors.n_features}"
        )
    return wanted
