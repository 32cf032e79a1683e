"""The page of a bag's result: what was known of the patient, and which cells weigh most."""

from dataclasses import replace
from typing import Any

import pytest
from test_report_page import CELLS, RUN, Tags, abstaining, hash_of, model, page, result

from vexas_edge.report.answers import (
    HEADLINES,
    NEXT,
    NO_OTHERS,
    UNKNOWN_PATIENT,
    OtherCases,
    answer_of,
)
from vexas_edge.report.galleries import MOST_PICTURES, galleries_of
from vexas_edge.results.grounds import UsedCovariate
from vexas_edge.results.values import CaseScore, ModelScore, WeighedCell
from vexas_edge.results.words import line_from_score

AGE = UsedCovariate(name="age_years", unit="years", given="71", value=71.0)
NO_AGE = replace(AGE, given="", value=None)
NO_SEX = UsedCovariate(name="sex", assumed=True)
HEAVIEST = tuple(
    WeighedCell(identity=hash_of(n), weight=0.12 - 0.01 * n, score=0.9 - 0.1 * n) for n in range(6)
)


def bag(name: str = "neutrophil", **fields: Any) -> ModelScore:
    known = {"cells_alone": 0.6543, "covariates": (AGE, NO_SEX), "heaviest": HEAVIEST}
    return model(name, **{"n_draws": None, **known, **fields})


def of_bags(*models: ModelScore) -> CaseScore:
    return result(*(models or (bag(),)), run=replace(RUN, seeds={}))


def lacking(*reasons: str) -> CaseScore:
    why, known = tuple(f"of {reason}" for reason in reasons), (NO_AGE, NO_SEX)
    return of_bags(abstaining(reasons=reasons, explanations=why, covariates=known))


def said_on(score: CaseScore, **fields: Any) -> str:
    """The text of a page on one line."""
    return " ".join(Tags(page(score, **fields).replace("</t", " </t")).text.split())


def test_a_line_names_what_was_known_and_the_score_by_the_cells_alone() -> None:
    assert (
        "neutrophil 0.837 with age_years 71, sex not given (0.654 by the cells alone; 0.71 to 0.90 "
        "for as many other cells), at or over the threshold 0.5 (30 cells)"
    ) in line_from_score(of_bags())
    assert "neutrophil 0.837 with age_years 71, sex not given (0.71 to 0.90" in line_from_score(
        of_bags(bag(cells_alone=None))
    )
    assert "neutrophil 0.837 (0.71 to 0.90 for as many" in line_from_score(result())


def test_a_page_says_what_was_known_of_the_patient() -> None:
    text = said_on(of_bags())
    assert "What is known of the patient What Given Unit What the model took" in text
    assert "age_years 71 years what was given" in text
    assert "sex not given the mean of the training patients" in text
    assert "Without this, by the cells alone, the score would be 0.654." in text
    assert "What is known of the patient" not in said_on(result())


def test_a_page_that_shows_no_number_shows_none_by_the_cells_alone() -> None:
    waiting = OtherCases(unclear=("P2",), held=("P2",))
    replaced = OtherCases(replaced=True)
    for text in (said_on(of_bags(), others=waiting), said_on(of_bags(), others=replaced)):
        assert "0.654" not in text
        assert "age_years 71 years" in text


def test_a_page_of_a_bag_speaks_of_no_draws() -> None:
    text = said_on(of_bags())
    assert "random groups" not in text
    assert "Draws" not in text
    assert "the score would be lower by the figure below it. Without the 6 strongest" in text
    mixed = said_on(result(bag(), model("monocyte"), run=replace(RUN, seeds={"monocyte": 3})))
    assert "Draws monocyte: 1000, seed 3 " in mixed


def test_cells_that_weigh_most_are_shown_unless_all_weigh_the_same() -> None:
    (galleries,) = galleries_of(of_bags()).values()
    assert [gallery.title for gallery in galleries][2:] == [
        "Cells that weigh most",
        "Typical cells",
        "Rejected images",
    ]
    heaviest = galleries[2]
    assert [c.words for c in heaviest.cells][:2] == ["12.0\u00a0%, 0.90", "11.0\u00a0%, 0.80"]
    assert heaviest.said.endswith("If all weighed the same, each would have 3.3\u00a0%.")
    alike = tuple(replace(cell, weight=1 / 30) for cell in HEAVIEST)
    for others in (of_bags(bag(heaviest=alike)), result()):
        (galleries,) = galleries_of(others).values()
        assert "Cells that weigh most" not in [gallery.title for gallery in galleries]
    (galleries,) = galleries_of(replace(of_bags(), status="abstained")).values()
    assert [gallery.title for gallery in galleries] == ["Typical cells", "Rejected images"]


@pytest.mark.parametrize("n_models", [1, 2, 3, 7, 40])
def test_a_page_of_bags_has_at_most_40_pictures(n_models: int) -> None:
    score = of_bags(*(bag(f"m{n}") for n in range(n_models)))
    shown = [c for of in galleries_of(score).values() for g in of for c in g.cells]
    assert len(shown) <= MOST_PICTURES
    assert len(CELLS) > MOST_PICTURES
    assert len(Tags(page(score)).of("img")) == len(shown)


def test_who_only_lacks_a_covariate_is_not_sent_back_to_the_microscope() -> None:
    answer = answer_of(lacking("missing_covariate", "impossible_covariate"), NO_OTHERS)
    assert (answer.kind, answer.headline) == ("abstained", UNKNOWN_PATIENT)
    assert answer.next_steps[0].startswith("Find out what is missing of the patient")
    assert answer.next_steps[1].startswith("Check what was given of the patient")
    assert answer.next_steps[2].startswith("Then score the smear again; its images need not")
    assert len(answer.next_steps) == 3
    text = said_on(lacking("missing_covariate"))
    assert "age_years not given years fault nothing, and there is no number without it" in text


def test_a_fault_of_the_images_is_said_beside_what_is_missing() -> None:
    answer = answer_of(lacking("focus", "missing_covariate"), NO_OTHERS)
    assert answer.headline == HEADLINES["abstained"]
    assert answer.next_steps[0] == "Check the focus."
    assert answer.next_steps[1].startswith("Find out what is missing")
    assert answer.next_steps[2:] == NEXT["abstained"]


def test_a_reason_that_asks_ends_with_its_mark_alone() -> None:
    asking = abstaining(reasons=("impossible_covariate",), explanations=("in another unit?",))
    assert answer_of(of_bags(asking), NO_OTHERS).reasons == ("In another unit?",)
