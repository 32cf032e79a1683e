"""Reading the site file beside a bundle: if it was changed, it opens nothing."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.graphs import REFERENCE
from vexas_edge.bundle.models import Model
from vexas_edge.bundle.site import SITE_SCHEMA, KnownSite, Site, SiteModel
from vexas_edge.domain.performance import Performance, shortfalls, states_too_little
from vexas_edge.errors import BundleError
from vexas_edge.talk import Say

# The site file of a bundle of a dozen models with encodings of 2,048 numbers has under 1 MiB.
_LARGEST_BYTES = 8 << 20


class _AnySite(Struct):
    schema_version: int


def site_path(bundle: Path) -> Path:
    """Where the site file of the bundle at this path lies."""
    whole = Path(os.path.abspath(bundle))  # noqa: PTH100 - a link is not followed, and "." has a name
    return whole.with_name(f"{whole.name}.site.json")


def site_of(bundle: Bundle, say: Say = lambda _: None) -> KnownSite | None:
    """The site file beside a bundle; None where there is none, or one of another bundle.

    Args:
        say: is told of one that has ended, because it is of another bundle.

    Raises:
        BundleError: it cannot be read, was changed, or contradicts the bundle.
    """
    path = site_path(bundle.path)
    content = content_of_site(path)
    if content is None:
        return None
    with _named(path):
        site = site_from_json(content)
    if site.bundle.sha256 != bundle.sha256:
        say(
            f"note: {path.name} is of {site.bundle.name} {site.bundle.version}, of hash "
            f"{site.bundle.sha256}, and not of this bundle: commissioning has ended, and no domain "
            "gate is opened by it; commission anew, or remove the file"
        )
        return None
    with _named(path):
        _check_against(site, bundle)
    return KnownSite(site=site, sha256=hashlib.sha256(content).hexdigest())


def content_of_site(path: Path) -> bytes | None:
    """What lies at a site file's path; None if nothing does, or a link to nothing.

    Raises:
        BundleError: it cannot be read, is no regular file, or is too large for a site file.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise BundleError(f"site file {path} is no regular file; remove it")
        content = path.read_bytes() if status.st_size <= _LARGEST_BYTES else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"site file {path} cannot be read: {error.strerror}") from error
    if content is None:
        raise BundleError(
            f"site file {path} is larger than the {_LARGEST_BYTES} bytes of one; remove it, and "
            "commission anew if the site needs it"
        )
    return content


def site_from_json(text: bytes) -> Site:
    """The site file's content, complete, and as it was written.

    Raises:
        BundleError: it is not JSON, of another schema, incomplete, or was changed.
    """
    try:
        version = msgspec.json.decode(text, type=_AnySite).schema_version
        if version != SITE_SCHEMA:
            raise BundleError(
                f"it has schema version {version}; this vexas-edge reads version {SITE_SCHEMA}"
            )
        site = msgspec.json.decode(text, type=Site)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BundleError(f"it is not a valid site file: {error}") from error
    if site.seal != _seal_of(site):
        raise BundleError("it is not what `vexas-edge commission` wrote, but was changed since")
    if not all(label.isprintable() for label in (site.instrument, site.software)):
        raise BundleError("its instrument or software holds a character that cannot be shown")
    _check_date(site.commissioned)
    _check_counts(site)
    return site


def check_readable(content: bytes, bundle: Bundle) -> None:
    """Check that this content would be read as the site file of this bundle.

    Raises:
        BundleError: it would not.
    """
    if len(content) > _LARGEST_BYTES:
        raise BundleError(f"it is larger than {_LARGEST_BYTES} bytes")
    _check_against(site_from_json(content), bundle)


def json_from_site(site: Site) -> bytes:
    """The site file's content, sealed."""
    sealed = msgspec.structs.replace(site, seal=_seal_of(site))
    return msgspec.json.format(msgspec.json.encode(sealed), indent=1) + b"\n"


def stated_performance(model: Model) -> Performance | None:
    """How held-out training patients were called, as the bundle states; None if it does not.

    Raises:
        BundleError: what it states cannot be.
    """
    entry = model.files.get(REFERENCE)
    stated: Any = entry.measured.get("stated") if entry else None
    if stated is None:
        return None
    try:
        performance = msgspec.convert(stated, Performance)
    except msgspec.ValidationError as error:
        raise BundleError(f"manifest.json: what {REFERENCE} states: {error}") from error
    if not performance.is_possible:
        raise BundleError(f"manifest.json: {REFERENCE} states what cannot be: {stated}")
    return performance


def _seal_of(site: Site) -> str:
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(site, seal=""))).hexdigest()


def _check_date(text: str) -> None:
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise BundleError(f"its date {text!r} is none") from error
    if date.tzinfo is None:
        raise BundleError(f"its date {text!r} has no time zone")


def _check_counts(site: Site) -> None:
    if site.n_failed > site.n_cases:
        raise BundleError(f"{site.n_failed} of its {site.n_cases} cases could not be read")
    for name, found in site.models.items():
        if (n := found.n_scored + found.n_abstained) > site.n_cases:
            raise BundleError(f"model {name} has results of {n} of {site.n_cases} cases")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an error name the file, and what to do about it."""
    try:
        yield
    except BundleError as error:
        raise BundleError(
            f"site file {path}: {error}; make it anew with `vexas-edge commission`, or remove it"
        ) from error


def _check_against(site: Site, bundle: Bundle) -> None:
    """Whether the bundle has what the site file says of its models, and allows what it opens."""
    models = bundle.manifest.models
    if site.models.keys() != models.keys():
        raise BundleError(f"it is of the models {', '.join(site.models)}")
    for name, found in site.models.items():
        width = models[name].encoding_width if found.opened else 0
        if len(found.centre) != width:
            raise BundleError(f"model {name} has a centre of {len(found.centre)} numbers")
        if found.opened and (why := _why_not_open(found, models[name])):
            raise BundleError(f"model {name} cannot be opened: {why}")


def _why_not_open(found: SiteModel, model: Model) -> str:
    """The first reason why what the file says of a model does not open its gate."""
    known, stated = found.known, stated_performance(model)
    if known is None or not known.is_possible or not known.is_enough or found.why_not:
        return "there are too few known slides, or reasons against it"
    if stated is None:
        return "the bundle does not state how it performs"
    return next(iter([*filter(None, [states_too_little(stated)]), *shortfalls(known, stated)]), "")
