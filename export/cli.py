"""The command `vexas-workshop export`."""

from pathlib import Path

import click

from export.backbones import BACKBONES, prefix_words
from export.paper import CANVAS_PX
from vexas_edge.choices import PRECISIONS, Precision
from vexas_edge.commands.console import echo, echo_lines, say
from vexas_edge.errors import HostError

_PATH = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Turn a trained encoder and a fitted SVM into a bundle that vexas-edge scores with.

    \b
    Example:
      vexas-workshop export init -o spec.toml
      vexas-workshop export bundle spec.toml -o site.vxb
    """


@cli.command()
@click.argument("spec", type=_PATH)
@click.option("-o", "out", type=_PATH, required=True, help="The bundle to write, NAME.vxb.")
def bundle(spec: Path, out: Path) -> None:
    """Export the models that SPEC (.toml) describes into one bundle, ready for vexas-edge.

    Every step, from pixels to labels, is compared with the source's own results on the spec's
    parity cells. If one differs by more than its tolerance, no bundle is written.

    \b
    Example:
      vexas-workshop export bundle spec.toml -o site.vxb
    """
    from export.assembly import write_bundle
    from export.parity import ALIKE
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.bundle.graphs import FUSED
    from vexas_edge.bundle.words import lines_from_bundle

    manifest = write_bundle(spec, to=out)
    echo_lines(lines_from_bundle(open_bundle(out)))
    for name, model in manifest.networks.items():
        if prefix := manifest.provenance["sources"][name].get("weights_prefix"):
            say(prefix_words(prefix, f"the weights of model {name}"))
        cosine = model.files[FUSED].measured["mean_pairwise_cosine"]
        if cosine > ALIKE:
            say(
                f"warning: model {name}: the parity cells look alike to the encoder (mean cosine "
                f"{cosine}), so their agreement shows little. Do the weights and the "
                "preprocessing belong together?"
            )
    for name, found in manifest.provenance.get("reference_scores", {}).items():
        echo(
            f"model {name}: scores {found['patients']} patients as the reference does: mean "
            f"difference {found['mean_difference']:.4f}, at most {found['largest_difference']:.4f}"
        )
    echo_lines(["", f"bundle: {out}"])


@cli.command()
@click.option(
    "-o",
    "out",
    type=_PATH,
    default=Path("spec.toml"),
    show_default=True,
    help="The spec to write; an existing file is never overwritten.",
)
def init(out: Path) -> None:
    """Write a commented example of a spec, to be edited and given to `export bundle`.

    \b
    Example:
      vexas-workshop export init -o spec.toml
    """
    from export.preprocessing import PREPROCESSINGS
    from export.template import TEMPLATE

    if out.exists():
        raise HostError(f"{out} already exists; name another file with -o")
    text = TEMPLATE.format(backbones=", ".join(BACKBONES), preprocessings=", ".join(PREPROCESSINGS))
    _write(out, text.encode())


@cli.command()
@click.argument("encoder")
@click.option(
    "--weights",
    type=_PATH,
    help="The encoder's weights: .safetensors, or a checkpoint that holds weights only.",
)
@click.option(
    "--canvas-px",
    type=click.IntRange(8, 4096),
    default=CANVAS_PX,
    show_default=True,
    help="Side of the square images that the encoder takes, in pixels.",
)
@click.option("-o", "out", type=_PATH, required=True, help="The ONNX file to write.")
def encoder(encoder: str, weights: Path | None, canvas_px: int, out: Path) -> None:
    """Export an encoder alone to an ONNX file, without preprocessing and classifier.

    ENCODER is the name of a backbone, or module:factory, a function of yours that returns the
    network. The graph takes pixels (N, 3, H, W) and returns encodings (N, D).

    \b
    Example:
      vexas-workshop export encoder mylab.nets:build --weights pn.safetensors -o encoder.onnx
    """
    from export.inputs import load_encoder

    found = load_encoder(
        encoder,
        Path.cwd(),
        canvas_px=canvas_px,
        weights=str(weights) if weights else None,
    )
    if prefix := found.source.get("weights_prefix"):
        say(prefix_words(prefix, f"{weights}"))
    _write(out, found.model.SerializeToString(deterministic=True))


@cli.command()
@click.argument("classifier", type=_PATH)
@click.option(
    "--draw-size",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="Cells whose encodings are drawn together for one median.",
)
@click.option("-o", "out", type=_PATH, required=True, help="The ONNX file to write.")
def svm(classifier: Path, draw_size: int, out: Path) -> None:
    """Export a fitted classifier alone to an ONNX file, the head of a model.

    CLASSIFIER is a .skops file. The graph takes encodings and draws of cells, and returns a
    probability per draw and class.

    \b
    Example:
      vexas-workshop export svm pn.skops -o head.onnx
    """
    from export.fuse import head_graph
    from export.heads import MedianHead
    from export.inputs import load_classifier

    fitted = load_classifier(classifier)
    head = head_graph(MedianHead(classifier=fitted, draw_size=draw_size))
    _write(out, head.SerializeToString(deterministic=True))


@cli.command()
@click.option("-o", "out", type=_PATH, required=True, help="The folder to write the files into.")
def schemas(out: Path) -> None:
    """Write the JSON Schemas of a bundle's manifest, of a case's result and of a run's record.

    \b
    Example:
      vexas-workshop export schemas -o docs/schema
    """
    from export.schemas import written_schemas

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"{out} cannot be created: {error.strerror}; name another folder"
        ) from error
    for name, content in written_schemas().items():
        _write(out / name, content)


@cli.command()
@click.argument("bundle", type=_PATH)
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(PRECISIONS),
    multiple=True,
    help="Build engines of this precision only; may be repeated.  "
    "[default: all that BUNDLE has and that were judged]",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Build engines of this model only; may be repeated.  [default: all models]",
)
def engine(bundle: Path, precisions: tuple[Precision, ...], models: tuple[str, ...]) -> None:
    """Build the TensorRT engines of BUNDLE (.vxb) in this PC's cache, where vexas-edge finds them.

    Each is kept only if its layers are proved to compute in the precision that was asked for.
    TensorRT for RTX builds them for all its GPUs, without needing one: one engine for compute
    capability 7.5, one for newer GPUs. Copy the files of the cache folder into that of another PC,
    which vexas-edge doctor names there. The full TensorRT builds for the GPU of this PC.

    Exit status: 0 all built, 4 there is no TensorRT, or the full one and no GPU, or an engine
    cannot be built or proved.

    \b
    Example:
      vexas-workshop export engine site.vxb
    """
    from export.engine import build_engines
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.host.cache import cache_folder

    n = build_engines(open_bundle(bundle), say, precisions=precisions, models=models)
    echo(f"{n} engines in {cache_folder()}")


def _write(path: Path, content: bytes) -> None:
    from vexas_edge.files import write_atomically

    write_atomically(path, content)
    echo(f"wrote {path}")
