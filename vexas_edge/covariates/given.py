"""What is known of the patient of each case: by options for a single one, or by a table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vexas_edge.covariates.covariate import Covariate, number_from_text
from vexas_edge.covariates.table import CovariateTable, read_covariates
from vexas_edge.errors import UsageError
from vexas_edge.inputs import state_of_file
from vexas_edge.text import folded, listed, unicode_text


@dataclass(frozen=True, kw_only=True, slots=True)
class CovariateOptions:
    """What is said of patients; without any of these, nothing.

    single: texts such as `age_years=63`, of the only case.
    table: a CSV file, as `read_covariates` has it.
    """

    single: tuple[str, ...] = ()
    table: Path | None = None


class GivenCovariates:
    """Knows what was given of each case, as far as the models of a bundle take it."""

    def __init__(self, options: CovariateOptions, covariates: Iterable[Covariate]) -> None:
        """Read what is needed.

        Args:
            covariates: of all models of the bundle.

        Raises:
            UsageError: no model takes what is given, or an option is not clear.
            InputError: the table cannot be read, or lacks what a model needs.
        """
        every = list(covariates)
        self._names = tuple(dict.fromkeys(covariate.name for covariate in every))
        if not self._names and (options.single or options.table):
            raise UsageError(
                "the bundle takes no covariates; leave --covariate and --covariates out"
            )
        self._single = _values_from_options(options.single, self._names)
        needed = dict.fromkeys(c.name for c in every if c.missing == "abstain")
        self._needed = tuple(name for name in needed if name not in self._single)
        self._file, self._table = options.table, CovariateTable()
        self._read: tuple[int, int] | None = None
        self.refresh()

    def refresh(self) -> None:
        """Read the table again if it has changed.

        Raises:
            InputError: it cannot be read; the last one that could be is still in use.
        """
        if self._file is None:
            return
        state = state_of_file(self._file, "table")
        if state != self._read:
            self._table = read_covariates(self._file, self._names, self._needed)
            self._read = state

    @property
    def may_change(self) -> bool:
        """Whether a case may get other values while nothing else changes."""
        return self._file is not None

    @property
    def remarks(self) -> list[str]:
        """What a person should know of the table."""
        passed_over, absent = (
            self._table.passed_over,
            [name for name in self._table.absent if name not in self._single],
        )
        lines = [f"note: {self._file}: no model takes {listed(passed_over)}"] * bool(passed_over)
        if self._file and absent:
            lines.append(
                f"note: {self._file}: it has no column {listed(absent)}; the mean of the training "
                "patients is taken"
            )
        return lines

    def check_cases(self, cases: Sequence[str]) -> None:
        """Check that what is said of a single case is clear.

        Args:
            cases: the ids of all cases that are to be scored.

        Raises:
            UsageError: there are several cases, or the table says something of it, too.
        """
        if not self._single:
            return
        if len(cases) != 1:
            raise UsageError(
                f"--covariate is for one case, and there are {len(cases)}; write a table for "
                "--covariates"
            )
        (case,) = cases
        for name, text in self._table.values.get(folded(case), {}).items():
            if name in self._single:
                raise UsageError(
                    f"{name} of case {case!r} is {self._single[name]!r} by --covariate and "
                    f"{text!r} in {self._file}; leave one out"
                )

    def of(self, case: str) -> dict[str, str]:
        """What is known of the patient of a case, by the covariate's name; no text is empty.

        A number is written in one way, so that 63.0 is no other value than 63.

        Args:
            case: its id, before it is hashed.
        """
        found = {**self._table.values.get(folded(case), {}), **self._single}
        return {name: _plain(text) for name, text in found.items()}

    def lacks(self, case: str) -> bool:
        """Whether there is a table, and the case is not in it."""
        return self.may_change and folded(case) not in self._table.values


def _plain(text: str) -> str:
    number = number_from_text(text)
    return text if number is None else f"{number:.15g}"


def texts_of(values: Mapping[str, str | float], covariates: Iterable[Covariate]) -> dict[str, str]:
    """What is known of a patient, as text.

    Args:
        covariates: of all models of the bundle.

    Raises:
        UsageError: no model takes one of the values.
    """
    names = [covariate.name for covariate in covariates]
    if unknown := [name for name in values if name not in names]:
        takes = f"it takes {listed(dict.fromkeys(names))}" if names else "it takes none"
        raise UsageError(f"the bundle does not take the covariate {listed(unknown)}; {takes}")
    return {name: str(value) for name, value in values.items()}


def _values_from_options(texts: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """The values of options such as `age_years=63`, by name; an empty one is left out."""
    values: dict[str, str] = {}
    for text in map(unicode_text, texts):
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise UsageError(f"--covariate {text!r} has no value; write it as in {names[0]}=VALUE")
        if name not in names:
            raise UsageError(
                f"--covariate {text!r}: the bundle does not take {name!r}; it takes {listed(names)}"
            )
        if name in values:
            raise UsageError(
                f"--covariate names {name} twice, as {values[name]!r} and {value!r}; leave one out"
            )
        values[name] = value
    return {name: value for name, value in values.items() if value}


NOTHING_KNOWN = GivenCovariates(CovariateOptions(), ())
