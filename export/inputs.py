"""Loads what an export starts from: encoders with their reference, classifiers, parity cells."""

import copy
import hashlib
import zipfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import skops.io
from onnx import ModelProto

from export.backbones import BACKBONES, build_backbone, load_weights
from export.classifier import Classifier, unfrozen
from export.encoder import (
    InputLayout,
    module_from_factory,
    onnx_from_file,
    onnx_from_torch,
    with_known_width,
)
from export.execution import session_from
from vexas_edge.bundle.operators import check_operators
from vexas_edge.cells.background import (
    background_of_cell,
    is_alone_on_black,
    middle_background,
)
from vexas_edge.cells.canvas import Canvas
from vexas_edge.cells.images import cell_from_bytes
from vexas_edge.errors import CellError, InputError, UsageError
from vexas_edge.inputs import ARRAY_DAMAGE, check_arrays, check_file, open_zip, read_file
from vexas_edge.smear.layout import is_image
from vexas_edge.smear.sources import open_source

# Ten calibrated pipelines have 262 files, 16 MiB of them, 0.7 of these in the schema.
_SKOPS_SCHEMA, _MOST_SCHEMA_BYTES = "schema.json", 4 << 20
_MOST_SKOPS_FILES, _MOST_SKOPS_BYTES = 10_000, 1 << 30
# Types of a calibrated SVC that skops does not trust by itself; any other such type is refused.
TRUSTED_TYPES = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
)

_CELLS_PER_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """An encoder as ONNX, and the source that it was made from.

    reference: maps what the network takes, float32 (N, 3, H, W) or (N, G), to embeddings float32
        (N, D), computed by the source itself.
    source: the source's name and hashes, and the prefix of its weights' names if that was left out,
        for the provenance.
    """

    model: ModelProto
    reference: Callable[[np.ndarray], np.ndarray]
    source: dict[str, str]


def load_encoder(
    name: str | None,
    folder: Path,
    *,
    canvas_px: int,
    weights: str | None = None,
    input_layout: InputLayout = "nchw",
    module: Any = None,
) -> Encoder:
    """The encoder of that name, looked up from `folder`, or `module` if it is given.

    Args:
        name: one of our backbones, an .onnx file, or `module:factory`.
        weights: the file of its weights, relative to `folder`.
        input_layout: of an .onnx file's input.
        module: a torch.nn.Module in memory.

    Raises:
        UsageError, InputError: it cannot be found, loaded or exported, or is not an encoder.
    """
    if module is not None:
        return encoder_from_module(module, {"encoder": type(module).__name__}, canvas_px)
    if name is None:
        raise UsageError("the spec names no encoder, and none was passed in memory")
    if name.endswith(".onnx"):
        if weights:
            raise UsageError("an .onnx encoder holds its weights; take `weights` out of the spec")
        return _encoder_from_file(folder / name, canvas_px, input_layout)
    source = {"encoder": name}
    module = build_backbone(name) if name in BACKBONES else _from_factory(name, folder)
    if weights:
        if prefix := load_weights(module, folder / weights):
            source["weights_prefix"] = prefix
        source["weights_sha256"] = sha256_of_file(folder / weights)
    elif name in BACKBONES:
        raise UsageError(f'encoder {name!r} needs weights, as in weights = "FILE.safetensors"')
    return encoder_from_module(module, source, canvas_px)


def encoder_from_module(module: Any, source: dict[str, str], canvas_px: int) -> Encoder:
    """A torch.nn.Module in memory as an encoder.

    Raises:
        UsageError, InputError: it is no module, or cannot be exported.
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        raise UsageError(
            f"{source['encoder']} is a {type(module).__name__}; an encoder is a torch.nn.Module"
        )
    # Copied, so that the caller can go on training the module on its device and in its mode.
    module = copy.deepcopy(module).eval().to("cpu", torch.float32)
    model = with_known_width(onnx_from_torch(module, canvas_px), canvas_px, "the encoder")
    return Encoder(model=model, reference=_torch_reference(module), source=source)


def _from_factory(reference: str, folder: Path) -> Any:
    if ":" not in reference:
        raise UsageError(
            f"encoder {reference!r} is neither a backbone ({', '.join(BACKBONES)}), "
            "nor an .onnx file, nor module:factory"
        )
    return module_from_factory(reference, folder)


def _encoder_from_file(path: Path, canvas_px: int, input_layout: InputLayout) -> Encoder:
    model = with_known_width(onnx_from_file(path, input_layout), canvas_px, str(path))
    return Encoder(
        model=model,
        reference=_file_reference(path, input_layout),
        source={"encoder": path.name, "encoder_sha256": _sha256_of_graph(path)},
    )


def _torch_reference(module: Any) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    def reference(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batches = torch.from_numpy(pixels).split(_CELLS_PER_BATCH)
            return torch.cat([module(batch) for batch in batches]).numpy()

    return reference


def _file_reference(path: Path, input_layout: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function that runs the unchanged file, in batches of its own size if that is fixed."""
    session = session_from(onnx.load(path))
    (image,) = session.get_inputs()

    def reference(pixels: np.ndarray) -> np.ndarray:
        if input_layout == "nhwc":
            pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
        size = image.shape[0] if isinstance(image.shape[0], int) else _CELLS_PER_BATCH
        batches = [pixels[i : i + size] for i in range(0, len(pixels), size)]
        return np.concatenate([session.run(None, {image.name: b})[0] for b in batches])

    return reference


def load_classifier(path: Path) -> Classifier:
    """The classifier in a .skops file, `unfrozen`; nothing in the file can run code.

    Raises:
        InputError: there is no such file, it is a pickle, or it holds types that are not trusted.
    """
    check_file(path, "classifier")
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"{path} is not a skops file. Pickles are not read, since loading one can run any "
            f"code; where the classifier was fitted, run `import skops.io` and "
            f"`skops.io.dump(classifier, {path.with_suffix('.skops').name!r})`"
        )
    try:
        _check_sizes(path)
        unknown = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)
        classifier = None if unknown else skops.io.load(path, trusted=list(TRUSTED_TYPES))
    except ARRAY_DAMAGE as error:
        kind = type(error).__name__
        raise InputError(f"{path} is not a readable skops file ({kind}: {error})") from error
    if unknown:
        raise InputError(
            f"{path} holds types that are not trusted: {', '.join(sorted(unknown))}; dump the "
            "fitted classifier alone, without the search or the splitter that chose it"
        )
    return unfrozen(classifier)


def _check_sizes(path: Path) -> None:
    """Check that a skops file does not unpack to more than any that is meant."""
    with open_zip(path, _MOST_SKOPS_FILES) as archive:
        if archive.getinfo(_SKOPS_SCHEMA).file_size > _MOST_SCHEMA_BYTES:
            raise ValueError("its schema unpacks to more than that of any classifier")
        check_arrays(archive, _MOST_SKOPS_BYTES)


def load_cells(folder: Path, canvas: Canvas) -> np.ndarray:
    """All distinct cells below a folder, or in a zip, on the canvas: uint8 (N, H, W, 3) RGB.

    Where the model normalises, they are taken for the cells of one case.

    Raises:
        InputError: there are fewer than two cells, one cannot be used, or they cannot be
            normalised because they were cut out of the slide.
    """
    images = _images(folder)
    if canvas.background is not None:
        _check_slide(images, folder)
    slide = middle_background([background_of_cell(pixels) for pixels in images.values()])
    canvas = canvas.for_background(slide)
    cells: dict[bytes, np.ndarray] = {}
    for name, pixels in images.items():
        try:
            placed = canvas.place(pixels)
        except CellError as error:
            raise InputError(f"parity cell {name}: {error}") from error
        cells.setdefault(placed.tobytes(), placed)
    if len(cells) < 2:
        raise InputError(
            f"{folder} holds {len(cells)} distinct cells; comparing needs at least two"
        )
    return np.stack(list(cells.values()))


def _images(folder: Path) -> dict[str, np.ndarray]:
    """The images below a folder by name, uint8 (H, W, 3) RGB."""
    images = {}
    with closing(open_source(folder)) as source:
        for name in sorted(filter(is_image, source.files)):
            try:
                images[name] = cell_from_bytes(source.read(name))
            except CellError as error:
                raise InputError(f"parity cell {name}: {error}") from error
    return images


def _check_slide(images: Mapping[str, np.ndarray], folder: Path) -> None:
    cut_out = [name for name, pixels in images.items() if is_alone_on_black(pixels)]
    if 2 * len(cut_out) > len(images):
        raise InputError(
            f'normalise = "background" needs cells on their slide, but {len(cut_out)} of the '
            f"{len(images)} cells in {folder} come alone on black (the first: {cut_out[0]}); leave "
            "it out, or name the mask network as `isolate` and let `score` cut cells out itself"
        )


def _sha256_of_graph(path: Path) -> str:
    """SHA-256 of the graph with its weights, which may be in a file beside it."""
    return hashlib.sha256(onnx.load(path).SerializeToString(deterministic=True)).hexdigest()


def sha256_of_file(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def mask_network_at(path: Path) -> bytes:
    """The content of a mask network's .onnx file. Raises InputError where it is none."""
    try:
        content = read_file(path)
        check_operators(content)
    except OSError as error:
        raise InputError(f"mask network {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"mask network {path} cannot be used: {error}") from error
    return content
