"""A model answers only where its domain gate lets it, and tells nothing where it does not."""

import csv
import json
import random
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tiny import (
    NO_GATE,
    WIDTH,
    TinyModel,
    cell_pixels,
    export_tiny,
    png,
    rewritten,
    there,
    write_case,
)
from tiny_gate import gate, gated, small_reference

from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.domain.reference import bytes_from_reference
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import BundleError
from vexas_edge.quality.statistics import CASE_STATISTICS
from vexas_edge.results.grounds import DomainFinding
from vexas_edge.results.tables import CASE_COLUMNS, CELL_COLUMNS, case_rows, cell_rows
from vexas_edge.results.values import CaseScore, ModelScore
from vexas_edge.results.words import line_from_score
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.score import score_past_the_gate
from vexas_edge.scoring.verification import run_selftest
from vexas_edge.scoring.whole import failed_case

NEUTROPHIL, MONOCYTE, LYMPHOCYTE = MODELS = ("neutrophil", "monocyte", "lymphocyte")
NUMBERS = (
    *("score", "interval_low", "interval_high", "call", "call_uncertain", "n_draws"),
    *("standard_error", "draws_low", "draws_high", "share_over_threshold"),
)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gated") / "P1"
    return write_case(folder, seed=5, neutrophil=20, monocyte=12, lymphocyte=9)


def scored(case: Path, bundle: Path, **options: Any) -> CaseScore:
    with read_case(case) as opened:
        return score_case(opened, open_bundle(bundle), **options)


def of_model(result: CaseScore, name: str) -> ModelScore:
    return next(model for model in result.models if model.model == name)


def test_inside_the_domain_a_model_answers_and_shows_its_statistics(
    tiny_bundle: Path, case: Path, tmp_path: Path
) -> None:
    bundle = gated(tiny_bundle, tmp_path / "b.vxb", dict.fromkeys(MODELS, gate(None)))
    result = scored(case, bundle)
    plain = scored(case, tiny_bundle)
    assert [m.score for m in result.models] == [m.score for m in plain.models]
    assert result.missing_gate is None
    assert line_from_score(result).startswith("P1: scored: ")
    found = of_model(result, NEUTROPHIL).domain
    assert isinstance(found, DomainFinding)
    assert found.margin <= 0
    assert found.family is None
    assert tuple(found.statistics) == CASE_STATISTICS
    (statistic,) = (v for name, v in found.statistics.items() if name == "image_height_px")
    assert 6 <= statistic.value < 15
    assert all(s.low <= s.high for s in found.statistics.values())


def test_an_abstaining_model_says_why_and_shows_no_number(
    tiny_bundle: Path, case: Path, tmp_path: Path
) -> None:
    references = {NEUTROPHIL: gate("stain"), MONOCYTE: gate(None), LYMPHOCYTE: gate(None)}
    result = scored(case, gated(tiny_bundle, tmp_path / "b.vxb", references))
    model = of_model(result, NEUTROPHIL)
    assert (model.status, model.reasons) == ("abstained", ("stain",))
    assert model.explanations[0].endswith("check the staining batch")
    assert {name: getattr(model, name) for name in NUMBERS} == dict.fromkeys(NUMBERS)
    assert (model.probabilities, model.label_shares) == ({}, {})
    assert there(model.domain).family == "stain"
    assert of_model(result, MONOCYTE).status == "scored"
    row = case_rows(result, "")[0]
    assert (row["family"], row["reasons"]) == ("stain", "stain")
    assert not set(NUMBERS) & {name for name, value in row.items() if value is not None}


def test_a_fault_of_the_slide_holds_all_models_of_the_case(
    tiny_bundle: Path, case: Path, tmp_path: Path
) -> None:
    references = {NEUTROPHIL: gate(None), MONOCYTE: gate("focus"), LYMPHOCYTE: gate("focus")}
    result = scored(case, gated(tiny_bundle, tmp_path / "b.vxb", references))
    assert result.status == "abstained"
    assert [m.reasons for m in result.models] == [("slide_focus",), ("focus",), ("focus",)]
    held = of_model(result, NEUTROPHIL)
    assert held.score is None
    assert held.explanations[0].startswith("a fault of the slide that the model monocyte shows: ")
    assert held.explanations[0].endswith("check the focus")


def test_an_abstaining_lead_promotes_no_other_model(
    tiny_bundle: Path, case: Path, tmp_path: Path
) -> None:
    references = dict.fromkeys(MODELS, gate(None)) | {NEUTROPHIL: gate("foreign cells")}
    led = gated(tiny_bundle, tmp_path / "led.vxb", references, lead=NEUTROPHIL)
    result = scored(case, led)
    assert (result.status, result.call) == ("abstained", None)
    assert of_model(result, MONOCYTE).status == "scored"
    equal = scored(case, gated(tiny_bundle, tmp_path / "equal.vxb", references, lead=None))
    assert (equal.status, equal.call) == ("scored", None)


def test_nothing_of_an_abstaining_case_depends_on_the_classifier(
    tiny_bundle: Path, tiny_models: dict[str, TinyModel], case: Path, tmp_path: Path
) -> None:
    """Both bundles are exported; each model has the other's classifier in one of them."""
    references = dict.fromkeys(MODELS, gate("focus"))
    turned = dict(zip(MODELS, (MONOCYTE, LYMPHOCYTE, NEUTROPHIL), strict=True))
    classifiers = {name: tiny_models[other].classifier for name, other in turned.items()}
    (tmp_path / "other").mkdir()
    other = export_tiny(tiny_models, classifiers, tmp_path / "other")
    past = [scored(case, bundle).models for bundle in (tiny_bundle, other)]
    assert all(a.score != b.score for a, b in zip(*past, strict=True))
    one = gated(tiny_bundle, tmp_path / "one.vxb", references)
    differing = gated(other, tmp_path / "differing.vxb", references)
    outputs = []
    for bundle in (one, differing):
        result = scored(case, bundle)
        assert result.status == "abstained"
        result = replace(
            result,
            bundle=replace(there(result.bundle), sha256=""),
            run=replace(there(result.run), started="", seconds=0),
        )
        tables = StringIO()
        csv.DictWriter(tables, CASE_COLUMNS).writerows(case_rows(result, ""))
        csv.DictWriter(tables, CELL_COLUMNS).writerows(cell_rows(result, ""))
        outputs.append((msgspec.json.encode(result), line_from_score(result), tables.getvalue()))
    assert outputs[0] == outputs[1]


def test_an_abstaining_models_classifier_is_never_asked(
    tiny_bundle: Path, case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = gated(tiny_bundle, tmp_path / "b.vxb", dict.fromkeys(MODELS, gate("stain")))

    def asked(*_: Any) -> None:
        raise AssertionError("an abstaining model's classifier was asked")

    monkeypatch.setattr(Sessions, "classify", asked)
    assert scored(case, bundle).status == "abstained"


def test_past_the_gate_the_score_is_that_of_a_bundle_without_one(
    tiny_bundle: Path, case: Path, tmp_path: Path
) -> None:
    bundle = gated(tiny_bundle, tmp_path / "b.vxb", dict.fromkeys(MODELS, gate("focus")))
    with read_case(case) as opened:
        past = score_past_the_gate(opened, open_bundle(bundle))
    assert [m.score for m in past.models] == [m.score for m in scored(case, tiny_bundle).models]
    assert all(model.domain for model in past.models)  # the gate has worked all the same


def shuffled(case: Path, to: Path) -> Path:
    rng = random.Random(1)
    for folder in case.iterdir():
        files = list(folder.iterdir())
        names = [f"{n:03d}.png" for n in range(len(files))]
        rng.shuffle(names)
        (to / folder.name).mkdir(parents=True)
        for file, name in zip(files, names, strict=True):
            (to / folder.name / name).write_bytes(file.read_bytes())
            if name < "002":
                (to / folder.name / f"copy of {name}").write_bytes(file.read_bytes())
    return to


def test_what_is_found_depends_neither_on_names_order_copies_nor_calls(
    tiny_bundle: Path, case: Path, tmp_path: Path
) -> None:
    bundle = gated(tiny_bundle, tmp_path / "b.vxb", dict.fromkeys(MODELS, gate(None)))
    expected = [model.domain for model in scored(case, bundle).models]
    again = scored(shuffled(case, tmp_path / "P2"), bundle)
    assert [model.domain for model in again.models] == expected
    for chunk_cells in (1, 5, 100):
        found = scored(case, bundle, chunk_cells=chunk_cells)
        assert [model.domain for model in found.models] == expected


def first_field(result: CaseScore) -> str:
    name, value = next(iter(json.loads(msgspec.json.encode(result)).items()))
    assert name == "missing_gate"
    return str(value)


@pytest.mark.parametrize("shown", [line_from_score, first_field])
def test_without_a_gate_that_is_said_first(
    tiny_bundle: Path, case: Path, tmp_path: Path, shown: Callable[[CaseScore], str]
) -> None:
    small = bytes_from_reference(small_reference())
    few = gated(tiny_bundle, tmp_path / "few.vxb", dict.fromkeys(MODELS, small))
    said = shown(scored(case, few))
    assert said.startswith("no domain gate (12 patients; 40 needed)")
    assert shown(scored(case, tiny_bundle)).startswith(NO_GATE)
    some = {NEUTROPHIL: small, MONOCYTE: gate(None)}
    said = shown(scored(case, gated(tiny_bundle, tmp_path / "some.vxb", some)))
    assert said.startswith(
        "no domain gate for neutrophil (12 patients; 40 needed), lymphocyte (the bundle has no "
        "reference)"
    )


def test_under_40_patients_images_out_of_range_abstain(
    tiny_bundle: Path, case: Path, tmp_path: Path
) -> None:
    """Only the ranges are narrow; all other gates let everything pass."""
    wide = small_reference()
    narrow = replace(wide, low=wide.low - 1, high=wide.low, spread=np.full_like(wide.spread, 1e-9))
    bundle = gated(tiny_bundle, tmp_path / "b.vxb", {MONOCYTE: bytes_from_reference(narrow)})
    model = of_model(scored(case, bundle), MONOCYTE)
    assert (model.status, model.reasons) == ("abstained", ("unlike_training",))
    assert ": check " in model.explanations[0]
    passing = gated(tiny_bundle, tmp_path / "w.vxb", {MONOCYTE: bytes_from_reference(wide)})
    assert of_model(scored(case, passing), MONOCYTE).status == "scored"


def test_a_single_cell_is_no_way_past_the_gate(tiny_bundle: Path, tmp_path: Path) -> None:
    models = open_bundle(tiny_bundle).manifest.models
    least = {name: msgspec.structs.replace(m, minimum_cells=1) for name, m in models.items()}
    plain = rewritten(tiny_bundle, tmp_path / "plain.vxb", models=least)
    alone = write_case(tmp_path / "P1", monocyte=1)
    assert of_model(scored(alone, plain), MONOCYTE).status == "scored"
    bundle = gated(plain, tmp_path / "b.vxb", dict.fromkeys(MODELS, gate(None)))
    model = of_model(scored(alone, bundle), MONOCYTE)
    assert (model.status, model.reasons) == ("abstained", ("too_few_cells",))


def test_a_reference_of_another_model_is_refused_by_verify_too(
    tiny_bundle: Path, case: Path, tmp_path: Path
) -> None:
    other = replace(small_reference(), mean=np.zeros(WIDTH + 1), axes=np.ones((WIDTH + 1, WIDTH)))
    bundle = gated(tiny_bundle, tmp_path / "b.vxb", {MONOCYTE: bytes_from_reference(other)})
    for use in (
        lambda: scored(case, bundle),
        lambda: list(run_selftest(open_bundle(bundle), EngineOptions())),
    ):
        with pytest.raises(BundleError, match=f"encodings of {WIDTH + 1}, but the manifest says"):
            use()


def test_a_failed_case_says_so_first_too(tiny_bundle: Path) -> None:
    failed = failed_case("P1", "its disk is gone", Sessions(open_bundle(tiny_bundle)))
    assert failed.missing_gate == NO_GATE


def test_cells_in_other_light_or_of_another_size_are_remarked_on(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    folder = write_case(tmp_path / "P1", monocyte=9) / "monocyte"
    odd = np.repeat(np.repeat(cell_pixels(7), 4, axis=0), 4, axis=1)
    (folder / "large.png").write_bytes(png(odd))
    (folder / "dark.png").write_bytes(png(cell_pixels(8) // 3))
    cells = {
        cell.path: cell for cell in of_model(scored(tmp_path / "P1", tiny_bundle), MONOCYTE).cells
    }
    assert "other_size" in cells["monocyte/large.png"].remarks
    assert cells["monocyte/dark.png"].remarks == ("other_light",)
