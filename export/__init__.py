"""The workshop's exporter: from a trained encoder and a fitted SVM to one hashed bundle."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.assembly import write_bundle
    from export.spec import Spec, spec_from_fields, spec_from_file

__all__ = ["Spec", "spec_from_fields", "spec_from_file", "write_bundle"]


def __getattr__(name: str) -> Any:
    """A public name, loaded on first use: building graphs needs neither scikit-learn nor torch."""
    if name not in __all__:
        raise AttributeError(f"module 'export' has no attribute {name!r}")
    from export import assembly, spec

    return getattr(assembly if name == "write_bundle" else spec, name)
