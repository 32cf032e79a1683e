"""The value of a covariate: what stands for one, and what is refused."""

import pytest

from vexas_edge.covariates.covariate import Covariate, number_from_text

AGE = Covariate(name="age_years", unit="years", low=0, high=140, mean=60, scale=15)
COUNT = Covariate(name="count_e9_per_l", low=1, high=1200, log=True, mean=2, scale=1)
SEX = Covariate(name="sex", low=0, high=1, words={"F": 0, "M": 1}, mean=0.5, scale=0.5)


def test_a_value_is_a_number_or_one_of_two_words() -> None:
    assert AGE.checked(" 63 ") == 63
    assert COUNT.checked("13,59") == 13.59
    assert (SEX.checked("F"), SEX.checked("M")) == (0, 1)
    assert (SEX.checked("f"), SEX.checked(" m")) == (0, 1)
    assert AGE.standardised(75) == 1
    assert COUNT.standardised(7.38905609893065) == pytest.approx(0)


@pytest.mark.parametrize(
    ("covariate", "text", "said"),
    [
        (AGE, "756", "age_years is 756, outside 0 to 140 years: is it in another unit?"),
        (AGE, "-1", "age_years is -1, outside"),
        (COUNT, "13590", "count_e9_per_l is 13590, outside 1 to 1200: is it in another unit?"),
        (COUNT, "0", "outside 1 to 1200"),
        (AGE, "old", "age_years is 'old'; expected a number"),
        (AGE, "nan", "expected a number"),
        (AGE, "inf", "expected a number"),
        (AGE, "", "expected a number"),
        (AGE, "6 3", "expected a number"),
        (SEX, "male", "sex is 'male'; expected F or M"),
        (SEX, "1", "expected F or M"),
    ],
)
def test_what_is_no_plausible_value_is_refused(covariate: Covariate, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        covariate.checked(text)


def test_a_comma_is_a_decimal_one_or_the_text_is_no_number() -> None:
    assert number_from_text("1,5") == 1.5
    assert number_from_text("1,359,0") is None
    assert number_from_text("1.359,0") is None
    assert number_from_text("1,053") is None  # it may stand between thousands
    assert number_from_text("1_000") is None
    assert number_from_text("1e3") == 1000
    assert number_from_text("9e999") is None


def test_words_that_differ_by_capitals_alone_are_told_apart() -> None:
    kind = Covariate(name="kind", low=0, high=1, words={"a": 0, "A": 1}, mean=0.5, scale=0.5)
    assert (kind.value("a"), kind.value("A")) == (0, 1)
