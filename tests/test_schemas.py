"""The JSON Schemas in docs/schema: those of today's code, and right about what it writes."""

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema_rs import Draft202012Validator, ValidationError
from site_slides import SITE
from tiny import Ended, kept, png, recorded

from export.cli import cli as export_cli
from export.schemas import FILES, ecmascript_from_python, schema_of, written_schemas
from vexas_edge.bundle.site_file import site_path
from vexas_edge.commands.cli import cli as edge_cli
from vexas_edge.results.values import RESULT_SCHEMA

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "docs" / "schema"
DEMO = ROOT / "vexas_edge" / "demo"
REMEDY = "run `vexas-workshop export schemas -o docs/schema` in the checkout and commit its files"

REMOVED = {"number": 4, "results": [2], "noticed": "2026-01-01T00:00:00+00:00"}
CONFIRMED = {"number": 4, "results": [2], "confirmed": "2026-01-01T00:00:00+00:00"}
MENDED = {"number": 4, "results": [2], "mended": "2026-01-01T00:00:00+00:00"}
VALIDATORS = {name: Draft202012Validator(schema_of(name)) for name in FILES}

Document = dict[str, Any]


def content(path: Path) -> Document:
    return json.loads(path.read_text(encoding="utf-8"))


def faults(name: str, document: Document) -> list[str]:
    """What the schema of that name refuses, as `place: message`, such as `/cases/0: ...`."""
    return [
        f"/{'/'.join(map(str, error.instance_path))}: {error.message}"
        for error in VALIDATORS[name].iter_errors(document)
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The demo's own files as text, by their schema's name."""
    folder = tmp_path_factory.mktemp("demo")
    edge_cli(["demo", "-o", str(folder)], standalone_mode=False)
    bundle_path = Path(shutil.copy(DEMO / "demo.vxb", tmp_path_factory.mktemp("site")))
    edge_cli(
        ["commission", str(DEMO / "smear.zip"), "--bundle", str(bundle_path), *SITE],
        standalone_mode=False,
    )
    with zipfile.ZipFile(DEMO / "demo.vxb") as bundle:
        manifest = bundle.read("manifest.json").decode()
    return {
        "manifest": manifest,
        "site": site_path(bundle_path).read_text(encoding="utf-8"),
        "case": json.dumps(kept(folder, "smear")),
        "run-started": json.dumps(recorded(folder, "started")),
        "run-ended": json.dumps(recorded(folder, "ended")),
        "run-removed": json.dumps({**REMOVED, "schema_version": RESULT_SCHEMA}),
        "run-mended": json.dumps({**MENDED, "schema_version": RESULT_SCHEMA}),
        "run-confirmed": json.dumps({**CONFIRMED, "schema_version": RESULT_SCHEMA}),
    }


def test_the_kept_schemas_are_those_of_todays_code() -> None:
    today = {name: schema.decode() for name, schema in written_schemas().items()}
    kept = {path.name: path.read_text(encoding="utf-8") for path in KEPT.iterdir()}
    outdated = sorted(name for name in {**today, **kept} if today.get(name) != kept.get(name))
    assert not outdated, f"docs/schema does not fit the code in {', '.join(outdated)}: {REMEDY}"


def test_the_command_writes_them(tmp_path: Path) -> None:
    export_cli(["schemas", "-o", str(tmp_path / "docs" / "schema")], standalone_mode=False)
    files = {path.name: path.read_bytes() for path in (tmp_path / "docs" / "schema").iterdir()}
    assert files == written_schemas()
    runs = ("run-confirmed", "run-ended", "run-mended", "run-removed", "run-started")
    assert sorted(files) == [f"{name}.schema.json" for name in ("case", "manifest", *runs, "site")]


@pytest.mark.parametrize("name", FILES)
def test_a_schema_says_what_it_is(name: str) -> None:
    schema = schema_of(name)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    version = FILES[name].schema_version
    assert schema["$id"] == f"urn:vexas-edge:schema:{name}:{version}"
    assert schema["properties"]["schema_version"] == {"type": "integer", "const": version}
    for described in (schema, *schema["$defs"].values()):
        assert described["title"]
        assert described["additionalProperties"] is False
        assert re.match(r"\S.*[.:]", described["description"])
        assert "\n " not in described["description"]  # the docstring's indentation


@pytest.mark.parametrize("name", FILES)
def test_the_demos_own_files_pass(written: dict[str, str], name: str) -> None:
    assert faults(name, json.loads(written[name])) == []


def smear_of_many_faults(folder: Path) -> Path:
    """A few of the demo's cells, and one of everything that a result reports."""
    with zipfile.ZipFile(DEMO / "smear.zip") as smear:
        smear.extractall(folder)
    cells = folder / "Signed slides" / "Segmented neutrophils"
    first, second, *others = sorted(cells.iterdir())
    for cell in others:
        cell.unlink()
    shutil.copy(first, cells / "SNE_again.jpg")
    second.rename(cells / "MO_1.jpg")
    (cells / "SNE_blank.png").write_bytes(png(np.full((40, 40, 3), 255, np.uint8)))
    (cells / "SNE_empty.png").touch()
    (cells / "notes.txt").write_text("no cell")
    return folder


def test_the_results_of_a_run_that_ends_in_many_ways_pass(
    vexas_edge: Callable[..., Ended], tmp_path: Path
) -> None:
    few = smear_of_many_faults(tmp_path / "few")
    out = tmp_path / "out"
    options = ("--bundle", DEMO / "demo.vxb", "--class-from", "agree", "--threads", "1", "-o", out)
    ended = vexas_edge("score", DEMO / "smear.zip", few, tmp_path / "nowhere", *options)
    assert ended.status == 7
    cases = {name: kept(out, name) for name in ("smear", "few", "nowhere")}
    statuses = [case["status"] for case in cases.values()]
    assert statuses == ["scored", "abstained", "failed"]
    for filled in ("rejected", "unreadable", "duplicates", "conflicts", "ignored", "models"):
        assert cases["few"][filled], f"the test no longer covers {filled}"
    for case in cases.values():
        assert faults("case", case) == []
    for kind in ("started", "ended"):
        assert faults(f"run-{kind}", recorded(out, kind)) == []


def test_what_varies_freely_may_hold_anything(written: dict[str, str]) -> None:
    manifest = json.loads(written["manifest"])
    manifest["provenance"] = {"made": {"by": ["anyone", 1, None]}}
    manifest["models"]["neutrophil"]["files"]["head.onnx"]["measured"] = {"anything": [{}]}
    assert faults("manifest", manifest) == []


def test_what_only_an_older_writer_leaves_out_is_required(written: dict[str, str]) -> None:
    """The reader fills in these defaults; vexas-edge always writes them."""
    manifest = json.loads(written["manifest"])
    del manifest["budgets"], manifest["models"]["monocyte"]["judged_typed"]
    assert sorted(faults("manifest", manifest)) == [
        '/: "budgets" is a required property',
        '/models/monocyte: "judged_typed" is a required property',
    ]


@pytest.mark.parametrize("field", ["seed", "method", "label_rule"])
def test_an_aggregation_without_one_of_its_fields_is_of_no_kind(
    written: dict[str, str], field: str
) -> None:
    manifest = json.loads(written["manifest"])
    del manifest["models"]["monocyte"]["aggregation"][field]
    (fault,) = faults("manifest", manifest)
    assert fault.startswith("/models/monocyte/aggregation: ")


Change = Callable[[Document], object]

HASH = "0" * 64


def head(manifest: Document) -> Document:
    return manifest["models"]["neutrophil"]["files"]["head.onnx"]


CHANGES: list[tuple[str, Change, str]] = [
    ("manifest", lambda m: m.pop("intended_use"), '/: "intended_use" is a required property'),
    ("manifest", lambda m: head(m).pop("bytes"), '/head.onnx: "bytes" is a required property'),
    ("manifest", lambda m: m.update(colour="red"), "/: Additional properties are not allowed"),
    ("manifest", lambda m: head(m).update(colour="red"), "/head.onnx: Additional properties"),
    ("manifest", lambda m: m.update(models=[]), '/models: [] is not of type "object"'),
    (
        "manifest",
        lambda m: m.update(typing={"a": {}}),
        '/typing/a: "instances" is a required',
    ),
    ("manifest", lambda m: m.update(synthetic="yes"), 'synthetic: "yes" is not of type "boolean"'),
    ("manifest", lambda m: m["models"]["monocyte"].update(encoding="best"), "one of"),
    ("manifest", lambda m: m.update(name="site\n"), r'/name: "site\n" does not match'),
    ("manifest", lambda m: m["models"].update({"a\n": {}}), r'"a\n" does not match'),
    ("manifest", lambda m: head(m).update(sha256=HASH + "\n"), "/sha256: "),
    ("manifest", lambda m: head(m).update(sha256=HASH + "Z"), "/sha256: "),
    ("manifest", lambda m: head(m).update(sha256=""), "/sha256: "),
    ("manifest", lambda m: m.update(schema_version=1), "/schema_version: 7 was expected"),
    ("case", lambda c: c.pop("schema_version"), '/: "schema_version" is a required property'),
    ("case", lambda c: c.pop("error"), '/: "error" is a required property'),
    ("case", lambda c: c["models"][0].pop("score"), '/models/0: "score" is a required property'),
    ("case", lambda c: c.update(colour="red"), "/: Additional properties are not allowed"),
    ("case", lambda c: c["entry"].pop("key"), "/entry: "),
    ("case", lambda c: c["models"][0].update(score="0.5"), '/models/0/score: "0.5" is not valid'),
    ("case", lambda c: c["models"][0].update(n_cells=0.5), "/models/0/n_cells: 0.5 is not of type"),
    ("case", lambda c: c.update(conflicts=[{"path": "x"}]), '"folder_class" is a required'),
    ("case", lambda c: c.update(status="fine"), '/status: "fine" is not one of'),
    ("case", lambda c: c["bundle"].update(sha256=HASH + "\n"), "/bundle: "),
    ("case", lambda c: c.update(schema_version=0), "/schema_version: 9 was expected"),
    ("site", lambda s: s.pop("seal"), '/: "seal" is a required property'),
    ("site", lambda s: s["images"].update(slide=[1, 2]), "/images/slide: "),
    ("site", lambda s: s.update(schema_version=2), "/schema_version: 1 was expected"),
    ("run-ended", lambda r: r.pop("ended_by"), '/: "ended_by" is a required property'),
    ("run-started", lambda r: r["asked"].pop("out"), '/asked: "out" is a required property'),
    ("run-ended", lambda r: r.update(results=["2"]), '/results/0: "2" is not of type'),
    ("run-mended", lambda r: r.pop("mended"), '/: "mended" is a required property'),
    ("run-confirmed", lambda r: r.pop("results"), '/: "results" is a required property'),
    ("run-started", lambda r: r.update(colour="red"), "/: Additional properties are not allowed"),
    ("run-started", lambda r: r["asked"].update(colour="red"), "/asked: Additional properties"),
    ("run-started", lambda r: r["asked"].update(threads="2"), '/asked/threads: "2" is not'),
    (
        "run-started",
        lambda r: r["asked"].update(threads=None),
        "/asked/threads: null is not",
    ),
    ("run-started", lambda r: r["asked"].update(precision=4), "/asked/precision: "),
    ("run-started", lambda r: r["bundle"].update(sha256=HASH + "\n"), "/bundle/sha256: "),
    ("run-started", lambda r: r.update(schema_version="1"), "/schema_version: "),
]


@pytest.mark.parametrize(("name", "change", "said"), CHANGES)
def test_a_changed_file_is_refused_where_it_was_changed(
    written: dict[str, str], name: str, change: Change, said: str
) -> None:
    document = json.loads(written[name])
    change(document)
    refused = faults(name, document)
    assert any(said in fault for fault in refused), refused


def test_the_validator_reads_patterns_as_ecmascript() -> None:
    """Else the tests above would pass with patterns that JavaScript reads in another way."""
    whole = Draft202012Validator({"pattern": "^a$"})
    assert re.search("^a$", "a\n")  # Python's $ also matches before a last line break
    assert not whole.is_valid("a\n")
    assert whole.is_valid("a")
    assert re.search(r"^\d$", "\u0661")  # an Arabic digit
    assert not Draft202012Validator({"pattern": r"^\d$"}).is_valid("\u0661")
    with pytest.raises(ValidationError, match="regex"):
        Draft202012Validator({"pattern": r"^a\Z"})


def test_a_pattern_is_translated_to_ecmascript() -> None:
    assert ecmascript_from_python(r"^([0-9a-f]{64})?\Z") == "^([0-9a-f]{64})?$"


@pytest.mark.parametrize(
    "pattern", ["^a$", r"a\Z", "^a", r"^\d\Z", r"^(?i:a)\Z", r"^a|^b\Z", r"^a$\Z", r"\Aa\Z", ""]
)
def test_a_pattern_that_the_two_may_read_differently_is_not_translated(pattern: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(pattern))):
        ecmascript_from_python(pattern)
