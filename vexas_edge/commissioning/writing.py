"""Writing the site file beside its bundle; what was there before is kept under another name."""

import hashlib
from pathlib import Path

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.site import Site
from vexas_edge.bundle.site_file import (
    check_readable,
    content_of_site,
    json_from_site,
    site_of,
    site_path,
)
from vexas_edge.errors import BundleError, HostError
from vexas_edge.files import new_partial, write_atomically


def check_writable(bundle: Bundle) -> None:
    """Check that a site file can be written, before the long work and not after it.

    Raises:
        HostError: it cannot, or what lies there cannot be kept.
    """
    path = site_path(bundle.path)
    _content_before(path)
    try:
        new_partial(path).unlink()
    except OSError as error:
        raise HostError(
            f"site file {path} cannot be written: {error.strerror}; it lies beside the bundle, so "
            "copy that to a folder that you may write to"
        ) from error


def opened_by_site(bundle: Bundle) -> tuple[str, ...]:
    """The models that the site file beside this very bundle opens; none if it cannot be read."""
    try:
        found = site_of(bundle)
    except BundleError:
        return ()
    return found.id.opens if found else ()


def write_site(bundle: Bundle, site: Site) -> Path | None:
    """Write the site file; returns where the one before it is kept, if there was one.

    Raises:
        HostError: it cannot be written, or would not be read again; then the one before it stays.
    """
    path, content = site_path(bundle.path), json_from_site(site)
    try:
        check_readable(content, bundle)
    except BundleError as error:
        raise HostError(
            f"what was found makes no site file: {error}; nothing is written"
        ) from error
    before, kept = _content_before(path), None
    if before is not None:
        mark = hashlib.sha256(before).hexdigest()[:8]
        kept = path.with_name(path.name.removesuffix(".site.json") + f".site-{mark}.json")
        write_atomically(kept, before)
    write_atomically(path, content)
    return kept


def _content_before(path: Path) -> bytes | None:
    """What lies where the site file goes, which is kept.

    Raises:
        HostError: it cannot be read.
    """
    try:
        return content_of_site(path)
    except BundleError as error:
        raise HostError(str(error)) from error
