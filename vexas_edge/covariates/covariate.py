"""One covariate: what its values are, and how a model takes them."""

import math
import re
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from vexas_edge.fields import Name

Missing = Literal["abstain", "mean"]
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?([eE][+-]?[0-9]{1,3})?")
_LEAST_WORDS = 2
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")


class Covariate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One covariate, and how its value becomes what the model takes: (value - mean) / scale.

    unit: for people; empty where the name says it, or there is none.
    low, high: of plausible values. One outside was likely written in another unit.
    words: where the values are two words, the number that each stands for; null for numbers.
    log: whether the natural logarithm of the value is taken first.
    mean, scale: over the patients that the model was fitted on, after that.
    missing: what a missing value means: "abstain" from a score, or the "mean" of those patients.
    """

    name: Name
    unit: str = ""
    low: float
    high: float
    words: dict[str, float] | None = None
    log: bool = False
    mean: float
    scale: Annotated[float, Meta(ge=1e-9)]
    missing: Missing = "abstain"

    @property
    def problem(self) -> str:
        """What contradicts itself in it; empty if nothing does."""
        if not self.low < self.high:
            return f"its range is {self.low:g} to {self.high:g}"
        if self.log and self.low <= 0:
            return f"its logarithm is taken, and its range begins at {self.low:g}"
        codes = [*(self.words or {}).values()]
        if self.words is not None and len(codes) < _LEAST_WORDS:
            return f"it has {len(codes)} words; it needs {_LEAST_WORDS}"
        if any(not self.low <= code <= self.high for code in codes):
            return f"a word stands for a number outside {self.low:g} to {self.high:g}"
        return ""

    def value(self, text: str) -> float:
        """The number that a text stands for.

        Raises:
            ValueError: it stands for none; the message says what was expected.

        >>> sex = Covariate(
        ...     name="sex", low=0, high=1, words={"F": 0, "M": 1}, mean=0.5, scale=0.5
        ... )
        >>> sex.value(" M "), sex.value("f")
        (1.0, 0.0)
        """
        word = text.strip()
        if self.words is not None:
            meant = [own for own in self.words if own.casefold() == word.casefold()]
            if word not in self.words and len(meant) != 1:
                raise ValueError(f"{self.name} is {word!r}; expected {' or '.join(self.words)}")
            return float(self.words[word if word in self.words else meant[0]])
        number = number_from_text(word)
        if number is None:
            hint = ", without a comma or point between thousands" if "," in word else ""
            raise ValueError(
                f"{self.name} is {word!r}; expected a number from {self.low:g} to {self.high:g}"
                f"{hint}"
            )
        return number

    def checked(self, text: str) -> float:
        """The same, within the plausible range.

        Raises:
            ValueError: it is no value, or outside the range.

        >>> age = Covariate(name="age_years", low=1, high=120, mean=60.0, scale=15.0)
        >>> age.checked("756")
        Traceback (most recent call last):
        ...
        ValueError: age_years is 756, outside 1 to 120: is it in another unit?
        """
        number = self.value(text)
        if not self.low <= number <= self.high:
            unit = f" {self.unit}" if self.unit else ""
            raise ValueError(
                f"{self.name} is {text.strip()}, outside {self.low:g} to {self.high:g}{unit}: is "
                "it in another unit?"
            )
        return number

    def standardised(self, number: float) -> float:
        """What the model takes; `number` is as `value` gives it, and above 0 for a logarithm.

        >>> age = Covariate(name="age_years", low=1, high=120, mean=60.0, scale=15.0)
        >>> age.standardised(75.0)
        1.0
        """
        return ((math.log(number) if self.log else number) - self.mean) / self.scale


def problem_of_covariates(covariates: Sequence[Covariate]) -> str:
    """What contradicts itself in the covariates of a model; empty if nothing does."""
    names = [covariate.name for covariate in covariates]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        return f"{twice} is named twice"
    found = (f"{one.name} is not clear: {one.problem}" for one in covariates if one.problem)
    return next(found, "")


def number_from_text(text: str) -> float | None:
    """The finite number in a text, with a point or a comma for decimals; None if there is none.

    A comma before three digits, which may stand between thousands, is refused.

    >>> number_from_text("0,135"), number_from_text("nan"), number_from_text("1,359")
    (0.135, None, None)
    """
    if not _NUMBER.fullmatch(text) or _THOUSANDS.fullmatch(text):
        return None
    number = float(text.replace(",", "."))
    return number if math.isfinite(number) else None
