"""Examines a bundle that was just written, before it takes the place of an older one."""

import onnx
from onnx import ValueInfoProto

from vexas_edge.bundle.archive import Bundle
from vexas_edge.bundle.contract import Shape, contract_of
from vexas_edge.errors import BundleError


def check_written(bundle: Bundle) -> None:
    """Check that every file reads back as the manifest says, and every graph as its contract says.

    Raises:
        BundleError: something does not.
    """
    bundle.check_all_files()
    for name, model in bundle.manifest.networks.items():
        for file in model.files:
            if file.endswith(".onnx"):
                graph = onnx.load_model_from_string(bundle.model_file(name, file)).graph
                shapes = {value.name: _shape(value) for value in (*graph.input, *graph.output)}
                if wanted := contract_of(model, file).missing_from(shapes):
                    raise BundleError(
                        f"models/{name}/{file} should have {wanted.name} {wanted.shape}, but has "
                        f"{shapes.get(wanted.name, 'none')}"
                    )


def _shape(value: ValueInfoProto) -> Shape:
    dims = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)
