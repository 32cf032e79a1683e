"""Templates, filled: everything in them is text unless it is ours, and a page fetches nothing."""

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vexas_edge.text import one_line

_STYLE = "style.css"


def filled(template: str, **values: Any) -> str:
    """A template of this room with these values.

    The page's own style is the only one that its content policy lets in, by its hash; it has no
    script, and asks no other place for anything.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    loader = PackageLoader("vexas_edge.report")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    source, _, _ = loader.get_source(environment, _STYLE)
    style = "\n".join(source.splitlines())  # as a browser hashes it, whatever a checkout made of it
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment.globals |= {
        "style": Markup(style),
        "policy": f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'",
    }
    environment.filters |= {"one_line": one_line, "words": _words}
    return environment


def _words(name: str) -> str:
    return name.replace("_", " ")
