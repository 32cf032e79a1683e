"""A smear as a results folder knows it: by hashes of what it is, and where its result belongs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vexas_edge.ledger.lines import CaseLine
from vexas_edge.results.values import BundleId, SiteId, UsedCell
from vexas_edge.text import hash_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Smear:
    """What is known of a smear before it is scored.

    given: its name where it was found.
    series, stamp, content, key: as `Entry` has them.
    marks: as `CaseLine` has them.
    """

    given: str
    series: str
    stamp: str
    content: str = ""
    key: str = ""
    marks: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placing:
    """Where a smear's result belongs.

    known: the result that it has already, so that there is nothing to do.
    case: the name of its result.
    same_key: another result with the very same cells, whose answer is this one's.
    revises, shares_cells_with, held: as `Entry` has them.
    """

    case: str
    known: CaseLine | None = None
    same_key: CaseLine | None = None
    revises: int | None = None
    shares_cells_with: tuple[int, ...] = ()
    held: bool = False


def series_of(
    bundle_sha256: str,
    version: str,
    site: SiteId | None = None,
    types: BundleId | None = None,
) -> str:
    """The hash of what scores: a bundle, a version of vexas-edge, and a site file if there is one.

    So every smear is scored again once a site was commissioned.

    Args:
        types: another bundle whose models name cells, if there is one.
    """
    more = [*([site.sha256] if site else []), *([f"types {types.sha256}"] if types else [])]
    return hash_of(bundle_sha256, version, *more)


def covariate_facts(covariates: Mapping[str, str]) -> tuple[str, ...]:
    """What is known of a smear's patient, as it goes into hashes of the smear.

    >>> covariate_facts({"sex": "F", "age_years": "63"})
    ('covariate age_years=63', 'covariate sex=F')
    """
    return tuple(f"covariate {name}={text}" for name, text in sorted(covariates.items()))


def key_of(series: str, cells: Iterable[UsedCell], covariates: Mapping[str, str]) -> str:
    """The hash of what a smear's answer depends on.

    A cell that could be decoded counts by its pixels, and once; another one by its file.

    Args:
        cells: of all models.
        covariates: what the models were given, as `GivenCovariates.of` has it.
    """
    by_path = {cell.path: cell for cell in cells}.values()
    decoded = {f"{cell.cell_class} {cell.identity}" for cell in by_path if cell.identity}
    others = [f"{cell.cell_class} file {cell.sha256}" for cell in by_path if not cell.identity]
    return hash_of(series, *sorted(decoded), *sorted(others), *covariate_facts(covariates))


def content_of(files: Iterable[tuple[str, str, str]], covariates: Mapping[str, str]) -> str:
    """The hash of a smear's files, and of what is known of its patient.

    Args:
        files: the path, the class and the SHA-256 of each cell's file, which is empty where the
            file is too large to be read.
        covariates: as `key_of` has them.
    """
    parts = (part for file in sorted(set(files)) for part in file)
    return hash_of(*parts, *covariate_facts(covariates))
