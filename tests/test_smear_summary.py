"""What would be read of a case, for programs and for people."""

import json
from pathlib import Path

from vexas_edge.commands.scan import summary_from_case, table_from_summary
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import read_case


def made_up_case(root: Path) -> Path:
    for path in (
        "MO/MO_1.jpg",
        "MO/LY_2.jpg",
        "LY_3.jpg",
        "LY/LY_4.jpg",
        "Blebs/1.jpg",
        "Unsigned slides/4711_1.jpg",
        "Thumbs.db",
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


def test_the_summary_counts_classes_conflicts_and_ignored_files(tmp_path: Path) -> None:
    summary = summary_from_case(read_case(made_up_case(tmp_path / "P1")))
    assert summary == {
        "case": "P1",
        "classes": {
            "lymphocyte": {"n": 2, "from": {"folder": 1, "prefix": 1}},
            "monocyte": {"n": 2, "from": "folder"},
        },
        "conflicts": [{"path": "MO/LY_2.jpg", "folder": "monocyte", "prefix": "lymphocyte"}],
        "ignored": {
            "n": 3,
            "reasons": {"not_an_image": 1, "unknown_class": 1, "unsigned_no_class": 1},
            "unknown_classes": {"Blebs": 1},
            "files": [
                {"path": "Blebs/1.jpg", "reason": "unknown_class"},
                {"path": "Thumbs.db", "reason": "not_an_image"},
                {"path": "Unsigned slides/4711_1.jpg", "reason": "unsigned_no_class"},
            ],
        },
    }
    assert json.loads(json.dumps(summary)) == summary


def test_a_declared_type_is_named_as_such(tmp_path: Path) -> None:
    case = read_case(made_up_case(tmp_path), ReadOptions(cell_type="eosinophil"))
    assert summary_from_case(case)["classes"]["eosinophil"] == {"n": 2, "from": "declared"}


def test_the_table_is_columns_of_plain_text(tmp_path: Path) -> None:
    table = table_from_summary(summary_from_case(read_case(made_up_case(tmp_path / "P1"))))
    assert table.splitlines() == [
        "P1",
        "",
        "class       cells  named by",
        "lymphocyte      2  folder 1, prefix 1",
        "monocyte        2  folder",
        "total           4",
        "",
        "folder says  prefix says  cells",
        "monocyte     lymphocyte       1",
        "",
        "ignored because    files",
        "not_an_image           1",
        "unknown_class          1",
        "unsigned_no_class      1",
        "",
        "unknown class  files",
        "Blebs              1",
    ]


def test_a_clean_case_has_no_empty_tables(tmp_path: Path) -> None:
    (tmp_path / "P1").mkdir()
    (tmp_path / "P1" / "LY_1.jpg").write_bytes(b"x")
    table = table_from_summary(summary_from_case(read_case(tmp_path / "P1")))
    assert table.splitlines()[2:] == [
        "class       cells  named by",
        "lymphocyte      1  prefix",
        "total           1",
    ]


def test_names_that_a_console_cannot_show_are_escaped(tmp_path: Path) -> None:
    root = tmp_path / "M\u00fcller \u4e2d"
    root.mkdir()
    (root / "LY_1.jpg").write_bytes(b"x")
    table = table_from_summary(summary_from_case(read_case(root)))
    assert table.splitlines()[0] == r"M\xfcller \u4e2d"
    assert table.isascii()
