"""Which columns of a table are the features that a model takes, and whether its numbers can be.

A feature is known by its name alone, a symbol or an Ensembl id, whose version does not count.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vexas_edge.cells.limits import FeatureKind
from vexas_edge.cells.vectors.table import Block, FeatureNames, FeatureTable
from vexas_edge.errors import InputError
from vexas_edge.text import listed

_VERSION = re.compile(r"(?<=\d)\.\d+$")
_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{11}")
# Of the wanted features, so many must be among what might be them for that to be worth a hint.
_HINT_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class WantedFeatures:
    """What a model takes.

    names: of the features, in the model's order.
    kind: what these names are.
    are_counts: whether it takes counts as they were counted, and scales them itself.
    """

    names: tuple[str, ...]
    kind: FeatureKind
    are_counts: bool

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each by its name."""
        return {plain_name(name): place for place, name in enumerate(self.names)}


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchedFeatures:
    """The columns of a table that a model takes.

    places: of each of the table's columns among what the model takes, int32 (G,); -1 for none.
    missing: what the model takes and the table has not, in the model's order.
    hint: why so much may be missing; empty where nothing tells.
    """

    places: NDArray[np.int32]
    missing: tuple[str, ...]
    hint: str


def plain_name(name: str) -> str:
    """The name without an Ensembl id's version.

    >>> plain_name("ENSG00000223972.5"), plain_name("HLA-A"), plain_name("AC004.1")
    ('ENSG00000223972', 'HLA-A', 'AC004.1')
    """
    return _VERSION.sub("", name) if _ENSEMBL.match(name) else name


def are_ensembl(names: Sequence[str]) -> bool:
    """Whether most of the names are Ensembl ids of genes."""
    return sum(bool(_ENSEMBL.match(name)) for name in names) > _HINT_SHARE * len(names)


def matched_features(
    wanted: WantedFeatures, given: FeatureNames, cells: Sequence[str] = ()
) -> MatchedFeatures:
    """Find what a model takes among a table's features.

    Args:
        cells: the names of some of its cells, which tell whether it lies on its side.

    Raises:
        InputError: a feature that the model takes is there twice, or the table lies on its side.
    """
    names = _names_of(wanted, given)
    plain = [plain_name(name) for name in names]
    counts = Counter(plain)
    if twice := [name for name in wanted.places if counts[name] > 1]:
        raise InputError(
            f"the table has {len(twice)} features twice that the model takes: {listed(twice)}; "
            "leave one of each, or join them"
        )
    missing = tuple(
        name
        for name, plain_one in zip(wanted.names, wanted.places, strict=True)
        if not counts[plain_one]
    )
    on_its_side = sum(plain_name(cell) in wanted.places for cell in cells)
    if cells and on_its_side > _HINT_SHARE * len(cells) and len(missing) > len(wanted.names) / 2:
        raise InputError(
            f"the table lies on its side: its rows are called like features ({listed(cells)}); "
            "expected a row for each cell and a column for each feature"
        )
    return MatchedFeatures(
        places=np.array([wanted.places.get(name, -1) for name in plain], np.int32),
        missing=missing,
        hint=_hint(wanted, plain, missing),
    )


def _names_of(wanted: WantedFeatures, given: FeatureNames) -> Sequence[str]:
    """Those of the table's two kinds of names that are of the model's kind."""
    sets = [names for names in (given.names, given.others) if names]
    return max(sets, key=lambda names: sum(plain_name(n) in wanted.places for n in set(names)))


def _hint(wanted: WantedFeatures, given: Iterable[str], missing: Sequence[str]) -> str:
    """Why much is missing, if the names tell."""
    least = _HINT_SHARE * max(1, len(missing))
    folded = {name.casefold() for name in given}
    if sum(name.casefold() in folded for name in missing) > least:
        return "the same names are there in other letters, as those of another species are"
    named = list(given)
    if wanted.kind == "symbol" and are_ensembl(named):
        return "the table has Ensembl ids, and the model takes symbols"
    if wanted.kind == "ensembl" and not any(map(_ENSEMBL.match, named)):
        return "the table has no Ensembl ids, which the model takes"
    return ""


def checked_blocks(table: FeatureTable, wanted: WantedFeatures) -> Iterator[Block]:
    """The cells of a table, whose numbers can be what a model takes.

    Raises:
        InputError: one cannot; the message names file, feature and cell. Also as `FeatureTable`.
    """
    for block in table.blocks():
        values = block.rows.values
        faults = [("is no finite number", ~np.isfinite(values))]
        if wanted.are_counts:
            words = "is no count; the model takes counts as they were counted, not scaled or logs"
            faults.append((words, (values < 0) | (values != np.rint(values))))
        for words, wrong in faults:
            if wrong.any():
                place = int(np.flatnonzero(wrong)[0])
                feature = table.features.names[block.rows.columns[place]]
                cell = block.names[block.rows.row_of_each[place]]
                where = f"{table.files[0]}: {feature} of {cell}"
                raise InputError(f"{where}: {values[place]:g} {words}")
        yield block
