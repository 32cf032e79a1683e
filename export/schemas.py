"""JSON Schemas of the files that vexas-edge writes, made from the types of their contents.

They describe what is written: a field that is always written is required, even if the reader has a
default for it, and a field that is never written is refused.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import NODEFAULT
from msgspec.inspect import DataclassType, Field, StructType, Type, type_info

from vexas_edge.bundle import manifest, site
from vexas_edge.ledger import runs
from vexas_edge.results import values

DIALECT = "https://json-schema.org/draft/2020-12/schema"

ObjectType = StructType | DataclassType


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """A file that vexas-edge writes. content: the type of its whole content."""

    content: type
    schema_version: int
    title: str


FILES = {
    "manifest": WrittenFile(
        content=manifest.Manifest,
        schema_version=manifest.MANIFEST_SCHEMA,
        title="manifest.json of a vexas-edge bundle",
    ),
    "site": WrittenFile(
        content=site.Site,
        schema_version=site.SITE_SCHEMA,
        title="NAME.site.json beside a bundle, what vexas-edge found at a site",
    ),
    "case": WrittenFile(
        content=values.CaseScore,
        schema_version=values.RESULT_SCHEMA,
        title="a file in cases/, the result of vexas-edge for one smear",
    ),
    "run-started": WrittenFile(
        content=runs.RunStarted,
        schema_version=values.RESULT_SCHEMA,
        title="a file in runs/, what a run of vexas-edge was asked for",
    ),
    "run-ended": WrittenFile(
        content=runs.RunEnded,
        schema_version=values.RESULT_SCHEMA,
        title="a file in runs/, how a run of vexas-edge ended",
    ),
    "run-mended": WrittenFile(
        content=runs.Mended,
        schema_version=values.RESULT_SCHEMA,
        title="a file in runs/, which failures are of smears that have a result",
    ),
    "run-confirmed": WrittenFile(
        content=runs.Confirmed,
        schema_version=values.RESULT_SCHEMA,
        title="a file in runs/, which held results were confirmed",
    ),
    "run-removed": WrittenFile(
        content=runs.Removed,
        schema_version=values.RESULT_SCHEMA,
        title="a file in runs/, which results were removed",
    ),
}


def written_schemas() -> dict[str, bytes]:
    """Every schema as indented JSON, by the name of its file."""
    return {f"{name}.schema.json": _indented(schema_of(name)) for name in FILES}


def _indented(schema: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema, draft 2020-12, of one of `FILES`."""
    file = FILES[name]
    _, definitions = msgspec.json.schema_components([file.content])
    for kind in _objects_in(type_info(file.content)):
        _describe_as_written(definitions[kind.cls.__name__], kind)
    root = definitions.pop(file.content.__name__)
    root["properties"]["schema_version"] = {"type": "integer", "const": file.schema_version}
    return {
        "$schema": DIALECT,
        "$id": f"urn:vexas-edge:schema:{name}:{file.schema_version}",
        **_with_ecmascript_patterns(root),
        "title": file.title,
        "$defs": _with_ecmascript_patterns(definitions),
    }


def _objects_in(node: Any) -> Iterator[ObjectType]:
    """The classes within a type, including itself, each as often as it is named."""
    if isinstance(node, ObjectType):
        yield node
    if isinstance(node, tuple):
        parts = node
    elif isinstance(node, Type | Field):
        parts = tuple(getattr(node, name) for name in node.__struct_fields__)
    else:
        return
    for part in parts:
        yield from _objects_in(part)


def _describe_as_written(definition: dict[str, Any], kind: ObjectType) -> None:
    """Require what is always written, refuse what never is, describe the class by its docstring."""
    definition["description"] = inspect.getdoc(kind.cls)
    properties = definition["properties"]
    always = {field.encode_name for field in kind.fields if _is_always_written(field, kind)}
    if isinstance(kind, StructType) and kind.tag_field:
        always.add(kind.tag_field)
    definition["required"] = [name for name in properties if name in always]
    for name in definition["required"]:
        properties[name].pop("default", None)
    definition["additionalProperties"] = False


def _is_always_written(field: Field, kind: ObjectType) -> bool:
    if field.required:
        return True
    if isinstance(kind, StructType) and kind.cls.__struct_config__.omit_defaults:
        return False
    # An optional field without a default is UNSET unless it is given, and UNSET is not written.
    return field.default is not NODEFAULT or field.default_factory is not NODEFAULT


def _with_ecmascript_patterns(node: Any) -> Any:
    """The schema with its patterns in JSON Schema's own dialect of regular expressions."""
    if isinstance(node, list):
        return [_with_ecmascript_patterns(part) for part in node]
    if not isinstance(node, dict):
        return node
    return {
        key: ecmascript_from_python(value)
        if key == "pattern" and isinstance(value, str)
        else _with_ecmascript_patterns(value)
        for key, value in node.items()
    }


def ecmascript_from_python(pattern: str) -> str:
    r"""The same regular expression for ECMAScript, whose `$` means the very end, as `\Z` in Python.

    >>> ecmascript_from_python(r"^[a-z]+\Z")
    '^[a-z]+$'

    Raises:
        ValueError: the pattern is not `^...\Z`, or the two dialects may read it differently.
    """
    body = pattern.removeprefix("^").removesuffix(r"\Z")
    if pattern != rf"^{body}\Z" or any(sign in body for sign in ("\\", "^", "$", "(?")):
        raise ValueError(
            f"the pattern {pattern!r} is not of the form '^...\\Z' without further escapes, "
            "anchors and (?...) groups; write it in that form, or extend export/schemas.py"
        )
    return f"^{body}$"
