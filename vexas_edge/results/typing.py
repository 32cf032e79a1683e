"""How the cells of a smear were named, and how many there are of each class."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassCount:
    """The cells of one class.

    n: how many there are. n_by_model: how many of these a model named.
    share: of all leukocytes that have a name; null for what is no leukocyte.
    low, high: its 95 % interval by Wilson, from none to all of the cells without a name being of
    this class.
    """

    n: int
    n_by_model: int
    share: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Strangeness:
    """How far a smear's cells lie from those that a model which names cells was fitted on.

    distance: the median over cells, of their encodings to the nearest class.
    farthest: the largest with which cells are named.
    """

    distance: float
    farthest: float

    @property
    def is_strange(self) -> bool:
        """Whether the smear is so unlike those fitted on that none of its cells is named."""
        return self.distance > self.farthest


@dataclass(frozen=True, kw_only=True, slots=True)
class CellTyping:
    """How models named the cells that nobody had named: those of `types`, or of the bundle itself.

    models: their names, in the order in which they were asked.
    n_asked: how many distinct cells they were shown.
    n_named: how many of these got a name; the others were not like any class enough.
    n_too_large: how many were so large that they are no single cell, and were not shown.
    strangeness: how unlike the smear is to those that the model was fitted on; null where there
    were too few cells to tell, or the bundle does not say what those look like.
    """

    models: tuple[str, ...]
    n_asked: int
    n_named: int
    n_too_large: int
    strangeness: Strangeness | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Retyping:
    """What models that name cells said of those that had a name; nothing goes by it.

    models: their names, in the order in which they were asked.
    n_asked: how many distinct cells they were shown: those of the classes that they know.
    n_sure: how many of these they were sure enough of to name them.
    n_unknown: how many distinct cells are of other classes, which they cannot say.
    n_too_large: how many were too large for one cell.
    otherwise: by class, how many of its cells they would give each other name. A wider name for the
    same, such as neutrophil for a segmented one, and a finer one are no other.
    strangeness: as `CellTyping` has it.
    """

    models: tuple[str, ...]
    n_asked: int
    n_sure: int
    n_unknown: int
    n_too_large: int
    strangeness: Strangeness | None = None
    otherwise: dict[str, dict[str, int]]
