"""The workshop's exporter: from a trained encoder and a fitted SVM to one hashed bundle."""

from export.spec import Spec, spec_from_fields, spec_from_file
from export.writing import write_bundle

__all__ = ["Spec", "spec_from_fields", "spec_from_file", "write_bundle"]
