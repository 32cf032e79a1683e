"""A spec is read whole or refused with the field that is wrong."""

from pathlib import Path
from typing import Any

import pytest

from export.spec import spec_from_fields, spec_from_file
from export.template import TEMPLATE
from vexas_edge.errors import InputError, UsageError


def fields(**model: Any) -> dict[str, Any]:
    smallest = {
        "cells": ["monocyte"],
        "encoder": "mo.onnx",
        "preprocessing": "keras-tf",
        "classifier": "mo.skops",
        "encoding": "l2",
        "parity_cells": "cells",
    }
    return {
        "name": "site",
        "version": "1",
        "positive": "VEXAS",
        "models": {"monocyte": {**smallest, **model}},
    }


def test_the_defaults_are_the_papers() -> None:
    model = spec_from_fields(fields()).models["monocyte"]
    assert (model.canvas_px, model.draw_size, model.fit_draws) == (272, 10, 100)
    assert (model.threshold, model.larger, model.score_draws) == (0.5, "reject", 1000)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"canvas": 272}, "unknown field `canvas`"),
        ({"threshold": 1.5}, r"<= 1.0.*threshold"),
        ({"cells": []}, "it lacks cells, the classes that it accepts"),
        ({"cells": ["neutro"]}, "models.monocyte: cells: neutro not known; the canonical names"),
        ({"larger": "shrink"}, "Invalid enum value 'shrink'"),
        ({"preprocessing": {"mean": [1, 2]}}, "length 3"),
    ],
)
def test_a_wrong_field_is_named(model: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spec_from_fields(fields(**model))


def test_a_lead_that_is_no_model_is_refused() -> None:
    with pytest.raises(UsageError, match="lead = 'neutrophil' is not one of the models monocyte"):
        spec_from_fields({**fields(), "lead": "neutrophil"})


def test_a_file_that_is_missing_or_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent.toml cannot be read"):
        spec_from_file(tmp_path / "absent.toml")
    (tmp_path / "wrong.toml").write_text("name = ")
    with pytest.raises(InputError, match="wrong.toml is not TOML"):
        spec_from_file(tmp_path / "wrong.toml")


def test_the_template_is_a_valid_spec(tmp_path: Path) -> None:
    text = TEMPLATE.format(backbones="vgg16", preprocessings="keras-caffe")
    (tmp_path / "spec.toml").write_text(text)
    assert spec_from_file(tmp_path / "spec.toml").models["neutrophil"].canvas_px == 272
