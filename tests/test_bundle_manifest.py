"""The manifest: what is refused of it, and why."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vexas_edge.bundle.archive import open_bundle
from vexas_edge.bundle.manifest import MANIFEST_SCHEMA, json_from_manifest, manifest_from_json
from vexas_edge.errors import BundleError

FILE = {"sha256": "0" * 64, "bytes": 1}

BAG = {"method": "bag", "weighting": "mean"}
AGE = {"name": "age_years", "low": 1.0, "high": 120.0, "mean": 60.0, "scale": 15.0}


IMAGES = {
    "kind": "images",
    "canvas_px": 16,
    "larger": "reject",
    "preprocessing": {
        "name": "explicit",
        "mean": [0.0, 0.0, 0.0],
        "scale": [1.0, 1.0, 1.0],
        "bgr": False,
    },
}
VECTORS = {
    "kind": "vectors",
    "n_features": 3,
    "names": "symbol",
    "counts": True,
    "library_size": 1e4,
    "log1p": True,
    "clip": 10.0,
    "missing_share": 0.2,
}


def fields() -> dict[str, Any]:
    return {
        "schema_version": MANIFEST_SCHEMA,
        "name": "site",
        "version": "1.0.0",
        "created": "2026-01-01",
        "positive": "VEXAS",
        "lead": None,
        "synthetic": False,
        "models": {
            "neutrophil": {
                "cells": ["neutrophil"],
                "instances": IMAGES,
                "aggregation": {"method": "median", "label_rule": "votes"},
                "classes": ["control", "VEXAS"],
                "minimum_cells": 5,
                "threshold": 0.5,
                "encoding": "l2",
                "encoding_width": 8,
                "files": {"fused.fp32.onnx": FILE, "head.onnx": FILE, "golden.npz": FILE},
            }
        },
        "files": {"card.md": FILE},
        "provenance": {},
        "intended_use": "tests",
    }


def refusal(content: bytes | dict[str, Any]) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(BundleError) as refused:
        manifest_from_json(text)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_manifest_survives_writing_and_reading() -> None:
    manifest = manifest_from_json(json.dumps(fields()).encode())
    assert manifest.models["neutrophil"].medians.score_draws == 1000
    text = json_from_manifest(manifest)
    assert manifest_from_json(text) == manifest
    assert json_from_manifest(manifest_from_json(text)) == text


def test_a_newer_schema_is_refused_before_anything_else_is_read() -> None:
    newer = MANIFEST_SCHEMA + 1
    assert refusal({"schema_version": newer, "models": "of another shape"}) == (
        f"the bundle has schema version {newer}; this vexas-edge reads version {MANIFEST_SCHEMA}: "
        "use the vexas-edge that wrote it, or a newer one"
    )


def test_an_older_schema_is_refused_with_what_makes_the_bundle_anew() -> None:
    said = refusal({"schema_version": MANIFEST_SCHEMA - 1})
    assert "`vexas-workshop export bundle SPEC.toml -o NAME.vxb`" in said


@pytest.mark.parametrize("version", [0, "1", 1.5, None])
def test_other_schema_versions_are_refused(version: object) -> None:
    assert "schema" in refusal({**fields(), "schema_version": version})


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe{}", b"manifest"])
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    assert refusal(text).startswith("the bundle's manifest.json is not valid: ")


def model_with(**changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda all_fields: all_fields["models"]["neutrophil"].update(changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.update(colour="red"), "unknown field `colour`"),
        (model_with(colour="red"), r"unknown field `colour` - at `$.models[...]`"),
        (lambda f: f.pop("intended_use"), "missing required field `intended_use`"),
        (
            model_with(aggregation={"method": "median", "label_rule": "best"}),
            "Invalid enum value 'best' - at `$.models[...].aggregation.label_rule`",
        ),
        (model_with(aggregation={"method": "mode"}), "Invalid value 'mode'"),
        (model_with(threshold=1.5), "`float` <= 1.0 - at `$.models[...].threshold`"),
        (model_with(minimum_cells=0), "`int` >= 1 - at `$.models[...].minimum_cells`"),
        (
            model_with(instances={**IMAGES, "canvas_px": 100_000}),
            "`int` <= 4096 - at `$.models[...].instances.canvas_px`",
        ),
        (
            model_with(instances={**IMAGES, "larger": "shrink"}),
            "Invalid enum value 'shrink' - at `$.models[...].instances.larger`",
        ),
        (model_with(instances={**IMAGES, "kind": "sounds"}), "Invalid value 'sounds'"),
        (
            model_with(instances={**VECTORS, "n_features": 0}),
            "`int` >= 1 - at `$.models[...].instances.n_features`",
        ),
        (
            model_with(instances={**VECTORS, "missing_share": 2}),
            "`float` <= 1.0 - at `$.models[...].instances.missing_share`",
        ),
        (
            model_with(aggregation={"method": "median", "label_rule": "votes", "seed": -1}),
            "$.models[...].aggregation.seed`",
        ),
        (model_with(classes=["VEXAS"]), "length >= 2 - at `$.models[...].classes`"),
        (lambda f: f.update(models={}), "lists no model"),
        (lambda f: f.update(positive=None), "positive is None with 1 models of patients"),
        (lambda f: f.update(name="../site"), "matching regex"),
        (lambda f: f.update(name="site\n"), "matching regex"),
    ],
)
def test_a_field_that_is_not_as_it_must_be_is_named(
    change: Callable[[dict[str, Any]], None], said: str
) -> None:
    changed = fields()
    change(changed)
    assert said in refusal(changed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda f: f.update(positive="MDS"),
            "manifest.json: model 'neutrophil' has classes ('control', 'VEXAS'), without the "
            "positive class 'MDS'",
        ),
        (
            model_with(classes=["VEXAS", "VEXAS"]),
            "manifest.json: model 'neutrophil' has classes ('VEXAS', 'VEXAS'), which repeat a name",
        ),
        (
            model_with(covariates=[AGE]),
            "manifest.json: model 'neutrophil' takes covariates, which only a bag can",
        ),
        (
            model_with(cells=[]),
            "manifest.json: model 'neutrophil' accepts cells of the classes (), which only a model "
            "of images has",
        ),
        (
            model_with(instances=VECTORS),
            "manifest.json: model 'neutrophil' accepts cells of the classes ('neutrophil',), which "
            "only a model of images has",
        ),
        (
            model_with(instances=VECTORS, cells=[]),
            "manifest.json: model 'neutrophil' lists no features.txt",
        ),
        (
            model_with(instances={**VECTORS, "clip": 0.0}, cells=[]),
            "manifest.json: model 'neutrophil' scales by library_size and clip of (10000.0, 0.0); "
            "expected more than 0",
        ),
        (
            model_with(aggregation=BAG, covariates=[AGE, AGE]),
            "manifest.json: model 'neutrophil' takes covariates of which age_years is named twice",
        ),
        (
            model_with(aggregation=BAG, covariates=[{**AGE, "log": True, "low": 0.0}]),
            "manifest.json: model 'neutrophil' takes covariates of which age_years is not clear: "
            "its logarithm is taken, and its range begins at 0",
        ),
        (
            model_with(aggregation=BAG, classes=["VEXAS", "control"]),
            "manifest.json: model 'neutrophil' is a bag that looks for 'control', and not for "
            "'VEXAS'",
        ),
        (
            model_with(aggregation=BAG, covariates=[{**AGE, "low": 130.0}]),
            "manifest.json: model 'neutrophil' takes covariates of which age_years is not clear: "
            "its range is 130 to 120",
        ),
        (
            model_with(aggregation=BAG, covariates=[{**AGE, "words": {"F": 1.0}}]),
            "manifest.json: model 'neutrophil' takes covariates of which age_years is not clear: "
            "it has 1 words; it needs 2",
        ),
        (
            model_with(aggregation=BAG, covariates=[{**AGE, "words": {"F": 1.0, "M": 500.0}}]),
            "manifest.json: model 'neutrophil' takes covariates of which age_years is not clear: "
            "a word stands for a number outside 1 to 120",
        ),
        (
            model_with(aggregation={**BAG, "level": "position"}),
            "manifest.json: model 'neutrophil' weighs positions by mean; only learned weights can",
        ),
        (
            model_with(aggregation=BAG, classes=["control", "MDS", "VEXAS"]),
            "manifest.json: model 'neutrophil' is a bag with 3 classes; it has two",
        ),
        (
            model_with(aggregation={**BAG, "image_alone": True}),
            "manifest.json: model 'neutrophil' gives a score without covariates, and takes none",
        ),
        (
            lambda f: f.update(lead="monocyte"),
            "manifest.json: lead model 'monocyte' is not in the bundle",
        ),
        (
            model_with(files={"head.onnx": FILE}),
            "manifest.json: model 'neutrophil' lists no fused.fp32.onnx, golden.npz",
        ),
        (
            lambda f: f["models"]["neutrophil"]["files"].update({"../x": FILE}),
            "manifest.json: model 'neutrophil' has the unsafe file name '../x'",
        ),
        (
            lambda f: f.update(files={}),
            "manifest.json lists no card.md; a bundle must say what it is for",
        ),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    change: Callable[[dict[str, Any]], None], said: str
) -> None:
    changed = fields()
    change(changed)
    assert refusal(changed) == said


def test_a_model_for_cells_of_an_unknown_class_is_refused(tiny_bundle: Path) -> None:
    text = open_bundle(tiny_bundle)._read("manifest.json", 1 << 20)
    with pytest.raises(BundleError, match="takes cells of unknown class neutrofil"):
        manifest_from_json(text.replace(b'"neutrophil_segmented"', b'"neutrofil"', 1))
