"""What is said of patients, by options and by a table: how it is read, and what is refused."""

import os
from pathlib import Path

import pytest

from vexas_edge.covariates.covariate import Covariate
from vexas_edge.covariates.given import CovariateOptions, GivenCovariates
from vexas_edge.covariates.table import read_covariates
from vexas_edge.errors import InputError, UsageError
from vexas_edge.ledger.smears import content_of, covariate_facts, key_of
from vexas_edge.text import hash_of

AGE = Covariate(name="age_years", unit="years", low=1, high=120, mean=60.0, scale=15.0)
SEX = Covariate(
    name="sex", low=0, high=1, words={"F": 0, "M": 1}, mean=0.5, scale=0.5, missing="mean"
)


def given(
    *single: str, table: Path | None = None, takes: tuple[Covariate, ...] = (AGE, SEX)
) -> GivenCovariates:
    return GivenCovariates(CovariateOptions(single=single, table=table), takes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "patients.csv").write_text("case,age_years,sex\nP1,71,\nP2,,F\n")
    return tmp_path / "patients.csv"


@pytest.mark.parametrize(
    "text",
    [
        "case,age_years,sex\nP1,71,M\nP2,,\n",
        "\ufeffCASE;sex;ward;age_years\r\np1; M ;3;71\r\n;;;\r\nP2;;4;\r\n",
        'age_years,sex,case\n"71",M,"P1"\n,,P2',
        "sep=;\nCase;Age_Years;SEX\nP1;71;M\nP2;;\n",
        '\n\n"case","age_years","sex","a; b"\nP1,71,M,\nP2,,,\n',
    ],
)
def test_a_table_is_read_as_spreadsheets_write_it(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="")
    known = given(table=file)
    assert known.of("P1") == known.of("p1") == {"age_years": "71", "sex": "M"}
    assert known.of("P2") == known.of("P3") == {}
    assert [known.lacks(case) for case in ("P1", "P2", "P3")] == [False, False, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lacks the column case, which names each case; it has none"),
        (b"name,age_years\nP1,3\n", "lacks the column case, .* it has 'name', 'age_years'"),
        (b"case,sex\nP1,F\n", "lacks the column age_years, .* it has 'case', 'sex'"),
        (b"case,age_years, Age_years\nP1,3,4\n", "has the column 'age_years' twice"),
        (b"case,age_years\nP1,3\np1,4\n", "line 3: case 'p1' is in line 2, too; keep one"),
        (b"case,age_years\nP1,3,4\n", "line 2: it has 3 values for 2 columns"),
        (b"case,age_years,sex\nP1,3\n", "line 2: it has 2 values for 3 columns"),
        (b"case,age_years\n,3\n", "line 2: it names no case"),
        (b'case,age_years\n"P1,3\n', "line 2: unexpected end"),
        (b"case,age_years\nM\xfcller,3\n", "save it as CSV UTF-8"),
    ],
)
def test_a_table_that_is_not_clear_is_refused_in_one_line(
    file: Path, content: bytes, message: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as refusal:
        given(table=file)
    assert "patients.csv" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="away.csv cannot be read: No such file"):
        given(table=tmp_path / "away.csv")


def test_a_number_is_one_value_however_it_is_written(file: Path) -> None:
    file.write_text("case;age_years\nP1;63,0\nP2;63.00\nP3;6.3e1\nP4;sixty\n")
    known = given(table=file)
    assert [known.of(case)["age_years"] for case in ("P1", "P2", "P3")] == ["63"] * 3
    assert known.of("P4") == {"age_years": "sixty"}


def test_columns_that_no_model_takes_are_named(file: Path) -> None:
    file.write_text("case,age_years,ward,gender,\nP1,71,3,M,\n")
    assert given(table=file).remarks == [
        f"note: {file}: no model takes ward, gender",
        f"note: {file}: it has no column sex; the mean of the training patients is taken",
    ]
    assert given("age_years=63").remarks == []


@pytest.mark.parametrize(
    ("single", "message"),
    [
        (["age_years"], "'age_years' has no value; write it as in age_years=VALUE"),
        (["age=63"], "does not take 'age'; it takes age_years, sex"),
        (["=63"], "does not take ''"),
        (["age_years=63", "age_years=64"], "names age_years twice, as '63' and '64'"),
        (["age_years=", "age_years=64"], "twice"),
    ],
)
def test_an_option_that_is_not_clear_is_refused(single: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        given(*single)


def test_an_option_may_hold_any_text_and_none() -> None:
    assert given(" age_years = 6=3 ", "sex=").of("P1") == {"age_years": "6=3"}
    assert given("age_years=\udcff").of("P1") == {"age_years": "\ufffd"}


def test_what_no_model_takes_is_refused(file: Path) -> None:
    for options in (CovariateOptions(table=file), CovariateOptions(single=("sex=F",))):
        with pytest.raises(UsageError, match="the bundle takes no covariates; leave"):
            GivenCovariates(options, ())
    assert given(takes=()).of("P1") == {}


def test_options_are_for_one_case_that_the_table_does_not_know_better(file: Path) -> None:
    known = given("age_years=63", table=file)
    assert known.of("P2") == {"age_years": "63", "sex": "F"}
    known.check_cases(["P2"])
    with pytest.raises(UsageError, match="one case, and there are 2; write a table"):
        known.check_cases(["P1", "P2"])
    with pytest.raises(UsageError, match="'63' by --covariate and '71' in .*patients.csv; leave"):
        known.check_cases(["p1"])
    given(table=file).check_cases(["P1", "P2"])


def test_an_option_stands_in_for_a_column(file: Path) -> None:
    file.write_text("case,sex\nP1,F\n")
    assert given("age_years=63", table=file).of("P1") == {"age_years": "63", "sex": "F"}
    with pytest.raises(InputError, match="lacks the column age_years"):
        given("age_years=", table=file)


def test_a_table_is_read_again_when_it_changed_and_kept_while_it_cannot_be_read(file: Path) -> None:
    known = given(table=file)
    file.write_text("case\nP1\n")
    with pytest.raises(InputError, match="lacks the column age_years"):
        known.refresh()
    assert known.of("P1") == {"age_years": "71"}
    file.write_text("case,age_years\nP1,72\n")
    os.utime(file, ns=(1, 1))
    known.refresh()
    assert known.of("P1") == {"age_years": "72"}
    file.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        known.refresh()
    assert known.of("P1") == {"age_years": "72"}
    assert (known.may_change, given("sex=F").may_change) == (True, False)


def test_a_named_column_is_found_beside_nameless_ones(file: Path) -> None:
    file.write_text("case;age_years;;\nP1;71;;\n")
    table = read_covariates(file, ["age_years"])
    assert (table.values["p1"], table.passed_over) == ({"age_years": "71"}, ())


def test_hashes_of_a_smear_of_which_nothing_is_known_are_as_they_were() -> None:
    assert key_of("series", [], {}) == hash_of("series")
    assert content_of([("a", "b", "c")], {}) == hash_of("a", "b", "c")
    one, other = {"age_years": "63", "sex": "F"}, {"sex": "F", "age_years": "63"}
    assert covariate_facts(one) == covariate_facts(other)
    assert len({key_of("s", [], values) for values in (one, {"age_years": "64"}, {})}) == 3
