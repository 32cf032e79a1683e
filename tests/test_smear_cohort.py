"""cohort.csv: what is read and what is refused, with the line that is to blame."""

from pathlib import Path

import pytest

from vexas_edge.errors import InputError
from vexas_edge.smear.cohort import CohortCase, read_cohort, read_row

HEADER = "patient,sample,path,label,split\n"


def cohort(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "cohort.csv"
    path.write_text(text, encoding=encoding, newline="")
    return path


def refusal(folder: Path, text: str, encoding: str = "utf-8") -> str:
    path = cohort(folder, text, encoding)
    with pytest.raises(InputError) as refused:
        read_cohort(path)
    return str(refused.value).replace(str(path), "cohort.csv")


def test_rows_are_read_in_their_order_with_covariates_and_resolved_paths(tmp_path: Path) -> None:
    text = "patient,sample,path,label,split,age\nB, s2 ,B/s2,VEXAS,train,71\nA,s1,A,control,test,\n"
    assert read_cohort(cohort(tmp_path, text)) == (
        CohortCase(
            patient="B",
            sample="s2",
            path=tmp_path / "B" / "s2",
            label="VEXAS",
            split="train",
            covariates={"age": "71"},
        ),
        CohortCase(
            patient="A",
            sample="s1",
            path=tmp_path / "A",
            label="control",
            split="test",
            covariates={"age": ""},
        ),
    )


def test_an_absolute_path_stays_what_it_is(tmp_path: Path) -> None:
    (case,) = read_cohort(cohort(tmp_path, f"{HEADER}A,s1,{tmp_path / 'x'},VEXAS,train\n"))
    assert case.path == tmp_path / "x"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, encoding: str) -> None:
    (case,) = read_cohort(cohort(tmp_path, f"{HEADER}Zoë,s1,a,VEXAS,train\n", encoding))
    assert case.patient == "Zoë"


def test_blanks_around_names_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    text = "patient, sample, path, label, split\r\nA, s1, a, VEXAS, train\r\n"
    (case,) = read_cohort(cohort(tmp_path, text))
    assert (case.sample, case.split, case.covariates) == ("s1", "train", {})


def test_commas_and_quotes_in_a_path_are_kept(tmp_path: Path) -> None:
    (case,) = read_cohort(cohort(tmp_path, f'{HEADER}A,s1,"a, ""b""",VEXAS,train\n'))
    assert case.path.name == 'a, "b"'


def test_a_patient_may_have_several_samples(tmp_path: Path) -> None:
    rows = read_cohort(cohort(tmp_path, f"{HEADER}A,s1,a,VEXAS,train\nA,s2,b,VEXAS,train\n"))
    assert [row.sample for row in rows] == ["s1", "s2"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            "A,s1,a,VEXAS,train\nA,s2,b,VEXAS,test\n",
            "cohort.csv, line 3: patient 'A' has two splits, 'train' and 'test'",
        ),
        (
            "A,s1,a,VEXAS,train\nA,s2,b,control,train\n",
            "cohort.csv, line 3: patient 'A' has two labels, 'VEXAS' and 'control'",
        ),
        (
            "A,s1,a,VEXAS,train\nB,s1,b,VEXAS,train\n",
            "cohort.csv, line 3: sample 's1' is already in line 2",
        ),
        ("A,,a,VEXAS,\n", "cohort.csv, line 2: no value for sample, split"),
        (
            "A,s1,a,VEXAS\n",
            "cohort.csv, line 2: the number of values differs from the number of columns",
        ),
        (
            "A,s1,a,VEXAS,train,x\n",
            "cohort.csv, line 2: the number of values differs from the number of columns",
        ),
        ("", "cohort.csv has no row below its header"),
    ],
)
def test_a_row_that_makes_no_sense_is_named(tmp_path: Path, rows: str, said: str) -> None:
    assert refusal(tmp_path, HEADER + rows) == said


def test_one_path_for_two_samples_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, f"{HEADER}A,s1,./b/../a,VEXAS,train\nB,s2,a,VEXAS,train\n")
    assert said == f"cohort.csv, line 3: path '{tmp_path / 'a'}' is already in line 2"


def test_missing_columns_are_named_beside_those_that_are_there(tmp_path: Path) -> None:
    assert refusal(tmp_path, "patient;sample;path;label;split\n") == (
        "cohort.csv lacks the columns patient, sample, path, label, split; its header is "
        "'patient;sample;path;label;split', whose names must be separated by commas"
    )


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, "patient,sample,path,label,split,label\nA,s1,a,VEXAS,train,control\n")
    assert said == "cohort.csv has the column 'label' twice; rename one"


def test_an_empty_file_lacks_its_columns(tmp_path: Path) -> None:
    assert refusal(tmp_path, "").startswith("cohort.csv lacks the columns patient, sample")


def test_what_is_not_utf8_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, f"{HEADER}Zoë,s1,a,VEXAS,train\n", "cp1252")
    assert said == "cohort cohort.csv is not in UTF-8; save it as CSV UTF-8"


def test_rows_without_any_value_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_text(f"{HEADER}A,s1,a,VEXAS,train\n,,,,\n\n ,,,,\n")
    assert [case.sample for case in read_cohort(tmp_path / "cohort.csv")] == ["s1"]


def test_a_path_that_was_written_on_windows_is_found(tmp_path: Path) -> None:
    (tmp_path / "smears" / "s1").mkdir(parents=True)
    (tmp_path / "cohort.csv").write_text(f"{HEADER}A,s1,smears\\s1,VEXAS,train\n")
    (case,) = read_cohort(tmp_path / "cohort.csv")
    assert case.path == tmp_path / "smears" / "s1"


def test_a_quote_that_never_closes_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, f'{HEADER}A,s1,"a,VEXAS,train\n')
    assert said == "cohort cohort.csv, line 2: unexpected end of data"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read: No such file or directory$"):
        read_cohort(tmp_path / "nowhere.csv")


def test_a_sample_that_is_not_there_is_named_with_its_line(tmp_path: Path) -> None:
    path = cohort(tmp_path, f"{HEADER}A,s1,a,VEXAS,train\n\n,,,,\nB,s2,b,VEXAS,train\n")
    with pytest.raises(InputError) as refused:
        read_row(read_cohort(path)[1])
    assert str(refused.value) == (
        f"{path}, line 5: {tmp_path / 'b'} was not found; expected the folder or .zip of one smear"
    )
