"""The page of a result: what it says, what it must not show, and that it asks nobody."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from tiny import cell_pixels, there

from vexas_edge.quality.statistics import CASE_STATISTICS
from vexas_edge.report.answers import (
    HEADLINES,
    MAY_BE_USED,
    NEXT,
    NO_OTHERS,
    REPLACED,
    WAITING,
    OtherCases,
    answer_of,
)
from vexas_edge.report.galleries import MOST_PICTURES, galleries_of
from vexas_edge.report.lights import lights_of
from vexas_edge.report.page import cells_on_page, is_page_of, page_of, pictures_in
from vexas_edge.report.pictures import LONGEST_SIDE_PX, pictures_of
from vexas_edge.report.strip import WIDTH, strip_of
from vexas_edge.results.answers import AnswerKind, answer_kind
from vexas_edge.results.grounds import DomainFinding, Statistic
from vexas_edge.results.run import Run
from vexas_edge.results.values import NOTICE, BundleId, CaseScore, ModelScore, Pull, Pulls, UsedCell

BUNDLE = BundleId(name="site", version="1", sha256="0" * 64, positive="VEXAS & co", synthetic=False)
RUN = Run(
    vexas_edge="0.1.0",
    python="3.11.7",
    numpy="2.0",
    decoder="Pillow 13",
    engine="onnxruntime",
    engine_version="1.31.1",
    device="cpu",
    threads=2,
    precision="int8",
    choice_reason="",
    seeds={"neutrophil": 0, "monocyte": 0},
    started="2026-01-02T03:04:05+00:00",
    seconds=1.5,
)
SHA = "f" * 64


def hash_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def cell(number: int, status: Any = "used", **fields: Any) -> UsedCell:
    return UsedCell(
        path=f"secret/<b>{number}.png",
        cell_class="neutrophil_segmented",
        status=status,
        identity=hash_of(number),
        sha256=hash_of(1000 + number),
        **fields,
    )


CELLS = (
    *(cell(number) for number in range(30)),
    *(cell(100 + n, "rejected", reason="touches_border") for n in range(9)),
    cell(200, "unreadable", reason="truncated"),
    cell(201, "duplicate", reason="same_pixels"),
)
PULLS = Pulls(
    up=tuple(Pull(identity=hash_of(n), change=0.02 - 0.001 * n) for n in range(6)),
    down=tuple(Pull(identity=hash_of(n), change=-0.02 + 0.001 * n) for n in range(6, 12)),
    without_up=0.712,
    without_down=0.913,
)


def model(name: str = "neutrophil", **fields: Any) -> ModelScore:
    return ModelScore(
        **{
            "model": name,
            "status": "scored",
            "score": 0.8374,
            "interval_low": 0.7121,
            "interval_high": 0.9012,
            "call": True,
            "call_uncertain": False,
            "threshold": 0.5,
            "n_cells": 30,
            "n_rejected": 9,
            "n_unreadable": 1,
            "minimum_cells": 10,
            "n_draws": 1000,
            "pulls": PULLS,
            "typical": tuple(hash_of(n) for n in range(20, 26)),
            "training_scores": (10, *([0] * 18), 25),
            "cells": CELLS,
            **fields,
        }
    )


def abstaining(name: str = "neutrophil", **fields: Any) -> ModelScore:
    nothing = dict.fromkeys(
        ("score", "interval_low", "interval_high", "call", "call_uncertain", "n_draws", "pulls")
    )
    reasons = {"reasons": ("focus",), "explanations": ("the images are less sharp: check it",)}
    return model(
        name, **{"status": "abstained", "training_scores": (), **nothing, **reasons, **fields}
    )


def result(*models: ModelScore, **fields: Any) -> CaseScore:
    every = models or (model(),)
    scored = any(one.status == "scored" for one in every)
    return CaseScore(
        **{
            "case": "P1",
            "status": "scored" if scored else "abstained",
            "notice": NOTICE,
            "models": every,
            "bundle": BUNDLE,
            "run": RUN,
            **fields,
        }
    )


def pictures(score: CaseScore) -> dict[str, str]:
    return pictures_of(cells_on_page(score), lambda record: cell_pixels(len(record.path)))


def page(score: CaseScore, **fields: Any) -> str:
    return page_of(score, SHA, **{"pictures": pictures(score), **fields}).decode()


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._in_style = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._in_style = tag == "style"

    def handle_data(self, data: str) -> None:
        self.text += "" if self._in_style else data

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._in_style = False

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


FAILED = CaseScore(case="P1", status="failed", notice=NOTICE, error="no image", bundle=BUNDLE)
HELD = result(
    replace(abstaining(), reasons=("held",), explanations=("of /secret/folder",), domain=None)
)
OF_KIND: dict[AnswerKind, CaseScore] = {
    "over": result(),
    "under": result(model(call=False, score=0.1)),
    "unsure": result(model(call_uncertain=True)),
    "several": result(model(), model("monocyte")),
    "counted": replace(result(bundle=replace(BUNDLE, positive=None)), models=()),
    "too few": result(abstaining(reasons=("too_few_cells",), n_cells=3)),
    "abstained": result(abstaining()),
    "held": HELD,
    "failed": FAILED,
    "drawn": result(bundle=replace(BUNDLE, synthetic=True)),
}


def test_there_is_a_sentence_for_each_answer_and_no_other() -> None:
    kinds = set(get_args(AnswerKind))
    assert kinds == set(OF_KIND) == set(HEADLINES) == set(MAY_BE_USED) == set(NEXT)


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_page_says_what_it_answers_whether_to_use_it_and_what_is_next(kind: AnswerKind) -> None:
    score = OF_KIND[kind]
    assert answer_kind(score) == kind
    text, steps = (
        Tags(page(score)).text,
        [step.format(held="").partition("\n")[0] for step in NEXT[kind]],
    )
    for sentence in (
        HEADLINES[kind].format(positive="VEXAS & co", sample="smear"),
        MAY_BE_USED[kind],
        *steps,
    ):
        assert sentence in text
    others = [
        HEADLINES[other].format(positive="VEXAS & co", sample="smear")
        for other in OF_KIND
        if other != kind
    ]
    assert not [sentence for sentence in others if sentence in text]
    assert NOTICE in text


def test_the_lead_model_answers_for_the_case() -> None:
    models = (model("monocyte"), model("neutrophil", call=False, score=0.2))
    assert answer_kind(result(*models, lead="neutrophil")) == "under"
    assert Tags(page(result(*models, lead="neutrophil"))).text.index("0.200") < Tags(
        page(result(*models, lead="neutrophil"))
    ).text.index("0.837")


def test_without_a_gate_the_number_waits_for_somebody_to_look() -> None:
    guarded, unguarded = (
        answer_of(result(), OtherCases()),
        answer_of(result(missing_gate="no domain gate"), OtherCases()),
    )
    assert guarded.may_be_used.startswith("Yes")
    assert unguarded.may_be_used.startswith("Not yet. ")
    assert "Compare" in unguarded.next_steps[0]
    drawn = answer_of(replace(OF_KIND["drawn"], missing_gate="no domain gate"), NO_OTHERS)
    assert drawn.may_be_used == MAY_BE_USED["drawn"]


def test_a_page_holds_all_it_shows_and_asks_nobody() -> None:
    tags = Tags(page(result()))
    names = {name for name, _ in tags.found}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "a", "base"}
    addresses = [
        value
        for _, attributes in tags.found
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "srcset", "poster", "background")
    ]
    assert addresses
    assert all(value and value.startswith("data:image/jpeg;base64,") for value in addresses)
    assert not [name for _, attributes in tags.found for name in attributes if name[:2] == "on"]
    assert not [1 for _, attributes in tags.found if "style" in attributes]
    html = page(result())
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_lets_in_its_own_style_and_pictures_alone() -> None:
    html = page(result())
    (policy,) = [m["content"] for m in Tags(html).of("meta") if m.get("http-equiv")]
    found = there(re.search(r"<style>(.*?)</style>", html, re.DOTALL))
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a\"onload='x' b", "<!--", "&lt;"])
def test_names_with_markup_stay_text(text: str) -> None:
    score = replace(FAILED, case=text, error=text, bundle=replace(BUNDLE, name=text, positive=text))
    for shown in (score, result(case=text, missing_gate=text, bundle=score.bundle)):
        tags, plain = Tags(page(shown)), Tags(page(replace(shown, case="P1")))
        assert [name for name, _ in tags.found if name != "img"] == [
            name for name, _ in plain.found if name != "img"
        ]
        assert text in tags.text


def test_no_file_name_is_on_a_page() -> None:
    for score in OF_KIND.values():
        assert "secret" not in page(score)


def test_control_characters_of_a_name_are_shown() -> None:
    assert "a\\x1bb" in Tags(page(result(case="a\x1bb"))).text


@pytest.mark.parametrize("kind", ["too few", "abstained", "held", "failed"])
def test_without_an_answer_there_is_no_number_in_any_form(kind: AnswerKind) -> None:
    """Not where a model that does not lead has answered, either."""
    tags = Tags(page(OF_KIND[kind], pictures=None))
    assert not tags.of("svg")
    assert not re.findall(r"\d\.\d", tags.text.replace("vexas-edge 0.1.0", "").partition("How")[0])
    assert "pull" not in tags.text
    other = model("monocyte")
    score = result(abstaining(), other, lead="neutrophil", status="abstained")
    text = Tags(page(score)).text
    assert "This model answered. Its number is not shown here" in text
    for number in ("0.837", "0.84", "0.71", "0.90", "83", "+0.0", "at or over"):
        assert number not in text.partition("How it was made")[0]
    assert not Tags(page(score)).of("svg")


def test_a_held_page_names_the_other_cases_and_no_folder() -> None:
    text = Tags(page(HELD, others=OtherCases(unclear=("P7", "P8"), held=("P 1",)))).text
    assert "P1 shares cells with P7, P8: half or more of those of the smaller case." in text
    assert 'vexas-edge results confirm RESULTS_FOLDER "P 1"' in text
    assert "/secret" not in text


def test_a_number_waits_while_another_case_with_its_cells_is_held() -> None:
    text = Tags(page(result(), others=OtherCases(unclear=("P2",), held=("P2", "P 4")))).text
    assert WAITING in text
    assert HEADLINES["over"].format(positive="VEXAS & co", sample="smear") not in text
    assert "Not yet. First it must be found out whose cells these are." in text
    assert "Not to be used: 0.837." in text
    assert "P1 shares cells with P2: half or more" in text
    assert 'vexas-edge results confirm RESULTS_FOLDER P2 "P 4"' in text
    copied = Tags(page(result(), others=OtherCases(same_cells=("P3",)))).text
    assert "The very same cells are filed under P3, too." in copied
    assert "Only if it is sure that these are the cells of this case, and not of P3: yes" in copied
    assert "Find out whether one slide was exported under two names" in copied


def test_a_replaced_page_says_so() -> None:
    text = Tags(page(result(), others=OtherCases(replaced=True))).text
    assert REPLACED in text
    assert "No. A newer result of this case has taken its place." in text
    assert MAY_BE_USED["over"] not in text
    assert "Not to be used: 0.837." in text


def test_models_that_do_not_answer_are_not_several_answers() -> None:
    assert answer_kind(result(model(call=False), abstaining("monocyte"))) == "under"
    unsure = [model(name, call_uncertain=True) for name in ("a", "b")]
    assert answer_kind(result(*unsure)) == "unsure"


def test_what_to_do_first_is_said_for_each_reason() -> None:
    both = abstaining(reasons=("slide_lamp", "focus"), explanations=("of the lamp", "of focus"))
    steps = answer_of(result(both), NO_OTHERS).next_steps
    assert steps[:2] == ("Check lamp, exposure and white balance.", "Check the focus.")
    assert len(steps) == 3


def test_pictures_are_found_again_on_a_page() -> None:
    shown = pictures(result())
    assert pictures_in(page_of(result(), SHA, shown)) == shown
    assert pictures_in(page_of(result(), SHA)) is None
    fewer = dict(list(shown.items())[:3])
    tags = Tags(page_of(result(), SHA, fewer).decode())
    assert len(tags.of("img")) == 3
    assert tags.text.count("not drawn here") == len(shown) - 3


def test_the_strip_is_drawn_to_scale() -> None:
    strip = there(strip_of(model(score=0.25, interval_low=0.1, interval_high=0.5, threshold=0.75)))
    assert (strip.score, strip.low, strip.high) == (WIDTH / 4, WIDTH / 10, WIDTH / 2)
    assert (strip.threshold, strip.patients) == (WIDTH * 3 / 4, 35)
    assert [bar.patients for bar in strip.bars] == [10, *([0] * 18), 25]
    assert strip.bars[0].height == pytest.approx(64 * 10 / 25)
    assert strip_of(abstaining()) is None


def test_few_training_patients_are_not_shown() -> None:
    strip = there(strip_of(model(training_scores=())))
    assert strip.bars == ()
    assert (
        "training patients"
        not in Tags(page(result(model(training_scores=()))))
        .text.partition("How it was made")[0]
        .partition("Quality")[0]
    )


def test_galleries_show_pulls_typical_and_rejected_cells() -> None:
    (galleries,) = galleries_of(result()).values()
    assert [(gallery.title, len(gallery.cells)) for gallery in galleries] == [
        ("Cells that pull the score up", 6),
        ("Cells that pull the score down", 6),
        ("Typical cells", 6),
        ("Rejected images", 6),
    ]
    numbers = [cell.number for gallery in galleries for cell in gallery.cells]
    assert numbers == list(range(1, 25))
    assert [cell.words for cell in galleries[0].cells][:2] == ["+0.020", "+0.019"]
    assert galleries[1].cells[0].words == "\u22120.014"
    assert galleries[0].said.endswith("Without the 6 strongest, the score would be 0.712.")
    assert {cell.words for cell in galleries[3].cells} == {"touches border"}


@pytest.mark.parametrize("n_models", [1, 2, 3, 7, 40])
def test_a_page_has_at_most_40_pictures(n_models: int) -> None:
    score = result(*(model(f"m{n}") for n in range(n_models)))
    shown = [c for of in galleries_of(score).values() for g in of for c in g.cells]
    assert len(shown) <= MOST_PICTURES
    assert len(Tags(page(replace(score, run=None))).of("img")) == len(shown)


def test_pictures_hold_nothing_but_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200, 3)).astype(np.uint8)
    (address,) = pictures_of([cell(0)], lambda _: pixels).values()
    data = base64.b64decode(address.partition(",")[2])
    with Image.open(BytesIO(data)) as image:
        assert image.size == (LONGEST_SIDE_PX * 2 // 3, LONGEST_SIDE_PX)
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert not image.getexif()
    assert b"Exif" not in data
    assert b"ICC_PROFILE" not in data


def test_pictures_can_be_left_out() -> None:
    tags = Tags(page(result(), pictures=None))
    assert not tags.of("img")
    assert hash_of(1000)[:8] in tags.text
    assert "none are shown" in tags.text


def test_a_page_is_known_by_its_result_and_its_content() -> None:
    html = page_of(result(), SHA)
    assert html == page_of(result(), SHA)
    assert is_page_of(html, SHA)
    assert not is_page_of(html, "e" * 64)
    assert not is_page_of(html.replace(b"0.837", b"0.437"), SHA)
    assert not is_page_of(html + b" ", SHA)
    assert not is_page_of(b"", SHA)
    assert not is_page_of(b"\xff", SHA)


def domain(**values: float) -> DomainFinding:
    """A finding within the domain; statistics lie in the middle of 0 to 10 unless named."""
    statistics = {
        name: Statistic(value=values.get(name, 5.0), low=0.0, high=10.0) for name in CASE_STATISTICS
    }
    return DomainFinding(margin=-1, gates={}, family=None, farthest=(), statistics=statistics)


def test_lights_of_cells_are_what_their_gates_say() -> None:
    gates = {"harm": 0.2, "foreign case": 1.43, "foreign cells": -0.5, "duplicates": 0.9}
    found = replace(domain(), gates=gates, margin=0.43)
    assert states(abstaining(reasons=("focus",), domain=found))["kind of cells"] == "fault"
    assert states(abstaining(reasons=("focus",), domain=found))["variety of cells"] == "in order"
    held = abstaining(reasons=("held",), domain=replace(found, family="stain"))
    assert states(held)["stain"] == "fault"


def states(score: ModelScore) -> dict[str, str]:
    return {light.name: light.state for light in lights_of(score)}


def test_lights_say_what_is_out_of_order_and_what_to_do() -> None:
    lights = {light.name: light for light in lights_of(model(domain=domain(band_1=16.0)))}
    assert lights["focus"].state == "look"
    assert lights["focus"].remedy == "check the focus"
    assert lights["whole cells"].found == "show no whole cell, or several: 9 of 41 images"
    assert lights["readable images"].state == lights["no image twice"].state == "look"
    assert lights["stain"].state == "in order"
    assert lights["kind of cells"].state == lights["variety of cells"].state == "not compared"
    assert states(model(domain=domain(band_1=14.9)))["focus"] == "in order"


def test_what_a_model_abstains_for_is_a_fault() -> None:
    found = states(abstaining(domain=domain()))
    assert found["focus"] == "fault"
    assert found["stain"] == "in order"
    for code, name in (
        ("slide_lamp", "exposure"),
        ("lamp", "exposure"),
        ("foreign_cells", "kind of cells"),
        ("duplicates", "variety of cells"),
        ("file_format", "file format"),
        ("unlike_training", "the whole"),
    ):
        score = abstaining(reasons=(code,), explanations=("why: check",), domain=domain())
        assert [n for n, state in states(score).items() if state == "fault"] == [name]
    few = abstaining(reasons=("too_few_cells",), n_cells=3)
    assert states(few)["enough cells"] == "fault"
    lost = abstaining(reasons=("too_many_unreadable",))
    assert states(lost)["readable images"] == "fault"


def test_without_a_comparison_the_lights_say_so() -> None:
    found = states(model())
    assert found["the images"] == "not compared"
    assert "focus" not in found


def test_a_statistic_that_was_the_same_in_training_is_far_if_it_differs() -> None:
    found = domain()
    name = "band_1"
    same = replace(
        found, statistics={**found.statistics, name: Statistic(value=1.0, low=2.0, high=2.0)}
    )
    assert states(model(domain=same))["focus"] == "look"
