"""Cells that have a name are shown to a model, too, and nothing goes by what it says of them."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import Ended, kept, recorded, there
from tiny_types import types_bundle, write_tinted

from vexas_edge import open_bundle, read_case
from vexas_edge.errors import UsageError
from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.results.values import CaseScore, UsedCell
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.score import read_for, retyped_smear, score_smear
from vexas_edge.smear.options import ReadOptions
from vexas_edge.talk import silent

Command = Callable[..., Ended]


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return types_bundle(tmp_path_factory.mktemp("types"))


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """12 cells a model, of which 4 are filed otherwise than by their tint; 6 blasts; 6 nameless."""
    slides = tmp_path / "P1" / "Signed slides"
    write_tinted(slides / "Segmented neutrophils", 12, seed=1, tint=0)
    write_tinted(slides / "Monocyte", 12, seed=2, tint=1)
    write_tinted(slides / "Lymphocyte", 12, seed=3, tint=2)
    for number, path in enumerate(write_tinted(tmp_path / "more", 4, seed=4, tint=2)):
        shutil.copy(path, slides / "Monocyte" / f"filed_otherwise_{number}.png")
    write_tinted(slides / "Blast, no lineage spec", 6, seed=5, tint=1)
    write_tinted(tmp_path / "P1" / "Unsigned slides", 6, seed=6)
    return tmp_path / "P1"


def scored(smear: Path, bundle: Path, types: Path, *, retype: bool) -> CaseScore:
    with (
        Sessions(open_bundle(bundle), types=open_bundle(types)) as sessions,
        read_case(smear, ReadOptions(unnamed=True)) as case,
    ):
        read = read_for(case, sessions, silent)
        if retype:
            read = retyped_smear(read, sessions, silent)
        return score_smear(read, sessions, progress=silent)


def as_without(score: CaseScore) -> CaseScore:
    """The result without what was said of cells that had a name, and without its times."""

    def plain(cells: tuple[UsedCell, ...]) -> tuple[UsedCell, ...]:
        return tuple(
            cell
            if cell.named_by == "model"
            else replace(cell, predicted_class="", probability=None)
            for cell in cells
        )

    models = tuple(replace(model, cells=plain(model.cells)) for model in score.models)
    return replace(
        score, models=models, bystanders=plain(score.bystanders), retyping=None, run=None
    )


def test_a_model_says_what_it_would_name_otherwise_and_nothing_goes_by_it(
    signed: Path, tiny_bundle: Path, types: Path
) -> None:
    without = scored(signed, tiny_bundle, types, retype=False)
    found = scored(signed, tiny_bundle, types, retype=True)
    assert without.retyping is None
    assert as_without(found) == as_without(without)
    retyping = there(found.retyping)
    assert (retyping.n_asked, retyping.n_unknown) == (40, 6)  # it knows no blasts
    assert retyping.otherwise["monocyte"]["lymphocyte"] >= 3
    assert "blast" not in retyping.otherwise
    cells = {cell.path: cell for model in found.models for cell in model.cells}
    told = [cell for cell in cells.values() if cell.named_by == "folder"]
    assert len(told) == 40
    assert all(cell.predicted_class and there(cell.probability) > 0 for cell in told)
    assert not any(cell.predicted_class for cell in found.bystanders)


def test_a_smear_without_named_cells_has_none_to_be_named_anew(
    tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    write_tinted(tmp_path / "P1", 30)
    found = there(scored(tmp_path / "P1", tiny_bundle, types, retype=True).retyping)
    assert (found.n_asked, found.n_sure, found.otherwise) == (0, 0, {})


def test_cells_under_two_classes_and_large_images_are_counted_once_and_told(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "types").mkdir()
    types = types_bundle(tmp_path / "types", largest_px=12)
    slides = tmp_path / "P1" / "Signed slides"
    cells = write_tinted(slides / "Monocyte", 12, seed=2, tint=1)
    (slides / "Lymphocyte").mkdir()
    for number, path in enumerate(cells[:3]):
        shutil.copy(path, slides / "Lymphocyte" / f"again{number}.png")
    found = there(scored(tmp_path / "P1", tiny_bundle, types, retype=True).retyping)
    assert 0 < found.n_too_large < 12
    assert found.n_asked + found.n_too_large == 12


def test_lines_page_tables_and_replay_have_it(
    vexas_edge: Command, signed: Path, tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ("--bundle", tiny_bundle, "--types-from", types, "--retype", "-o", out)
    ended = vexas_edge("score", signed, *arguments)
    assert ended.status == 0, ended.err
    assert "P1: of 40 cells of classes that it knows a model was sure of" in ended.err
    assert "monocyte as lymphocyte" in ended.err
    assert recorded(out, "started")["asked"]["retype"] is True
    page = next((out / "reports").iterdir()).read_text()
    assert "Named otherwise by a model" in page
    with (out / "cells.csv").open(encoding="utf-8-sig", newline="") as table:
        rows = {row["cell"]: row for row in csv.DictReader(table)}
    row = rows["Signed slides/Monocyte/filed_otherwise_0.png"]
    assert (row["class"], row["named_by"]) == ("monocyte", "folder")
    assert row["predicted_class"] == "lymphocyte"
    assert problems_of_folder(out) == []
    (result,) = (out / "cases").iterdir()
    again = ("replay", result, "--input", signed, "--bundle", tiny_bundle, "--types-from", types)
    replayed = vexas_edge(*again)
    assert replayed.status == 0, replayed.out + replayed.err
    lied = json.loads(result.read_text())
    lied["retyping"]["n_sure"] += 1
    result.write_text(json.dumps(lied))
    assert "retyping.n_sure" in vexas_edge(*again).out


def test_a_copy_of_the_smear_under_another_name_takes_its_answer_over(
    vexas_edge: Command, signed: Path, tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    shutil.copytree(signed, tmp_path / "P2")
    out = tmp_path / "out"
    for smear in (signed, tmp_path / "P2"):
        options = ("--bundle", tiny_bundle, "--types-from", types, "--retype", "-o", out)
        vexas_edge("score", smear, *options)
    first, second = (kept(out, name) for name in ("P1", "P2"))
    assert second["entry"]["same_cells_as"] == first["entry"]["number"]
    for name in ("models", "typing", "typed_cells", "differential", "retyping", "bystanders"):
        assert second[name] == first[name]
    assert problems_of_folder(out) == []


def test_a_result_that_was_made_without_it_stays_and_says_so(
    vexas_edge: Command, signed: Path, tiny_bundle: Path, types: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--bundle", tiny_bundle, "--types-from", types, "-o", out)
    vexas_edge("score", signed, *options)
    ended = vexas_edge("score", signed, *options, "--retype")
    assert (
        "P1: it was scored without --retype; `vexas-edge score --again` makes up for it"
        in ended.err
    )
    assert kept(out, "P1")["retyping"] is None
    ended = vexas_edge("score", signed, *options, "--retype", "--again", "--json")
    assert json.loads(ended.out)["retyping"]["n_asked"] == 40


def test_it_needs_a_model_that_names_cells(
    vexas_edge: Command, signed: Path, tiny_bundle: Path
) -> None:
    ended = vexas_edge("score", signed, "--bundle", tiny_bundle, "--retype")
    assert ended.status == 2
    assert "--retype needs a model that names cells; give one with --types-from" in ended.err
    bundle = open_bundle(tiny_bundle)
    with Sessions(bundle) as sessions, read_case(signed) as case:
        read = read_for(case, sessions, silent)
        with pytest.raises(UsageError, match="no model that names cells"):
            retyped_smear(read, sessions, silent)
