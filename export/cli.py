"""The command `vexas-workshop export`."""

from pathlib import Path

import click

from export.backbones import BACKBONES
from vexas_edge.choices import PRECISIONS, Precision
from vexas_edge.errors import HostError
from vexas_edge.text import one_line

_PATH = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Turn a trained encoder and a fitted SVM into a bundle that vexas-edge scores with."""


@cli.command()
@click.argument("spec", type=_PATH)
@click.option("-o", "out", type=_PATH, required=True, help="The bundle to write, NAME.vxb.")
def bundle(spec: Path, out: Path) -> None:
    """Export what SPEC names, compare every step on its parity cells, write the bundle."""
    from export.assembly import write_bundle
    from export.parity import ALIKE
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.bundle.graphs import FUSED
    from vexas_edge.bundle.words import text_from_bundle

    manifest = write_bundle(spec, to=out)
    click.echo(text_from_bundle(open_bundle(out)))
    for name, model in manifest.models.items():
        cosine = model.files[FUSED].measured["mean_pairwise_cosine"]
        if cosine > ALIKE:
            click.echo(
                f"warning: model {name}: the parity cells look alike to the encoder (mean cosine "
                f"{cosine}); their agreement shows little. Are weights and preprocessing a pair?",
                err=True,
            )
    click.echo(f"\nbundle: {out}")


@cli.command()
@click.option("-o", "out", type=_PATH, default=Path("spec.toml"), show_default=True)
def init(out: Path) -> None:
    """Write a commented spec to start from."""
    from export.preprocessing import PREPROCESSINGS
    from export.spec import TEMPLATE

    if out.exists():
        raise HostError(f"{out} is already there; name another file with -o")
    text = TEMPLATE.format(backbones=", ".join(BACKBONES), preprocessings=", ".join(PREPROCESSINGS))
    _write(out, text.encode())


@cli.command()
@click.argument("encoder")
@click.option("--weights", type=_PATH, help="Its .safetensors or weights-only checkpoint.")
@click.option("--canvas-px", type=click.IntRange(8, 4096), default=272, show_default=True)
@click.option("-o", "out", type=_PATH, required=True, help="The ONNX file to write.")
def encoder(encoder: str, weights: Path | None, canvas_px: int, out: Path) -> None:
    """Export ENCODER alone, a backbone or module:factory: pixels (N, 3, H, W) to (N, D)."""
    from export.inputs import load_encoder

    found = load_encoder(
        encoder,
        Path.cwd(),
        canvas_px=canvas_px,
        weights=str(weights) if weights else None,
    )
    _write(out, found.model.SerializeToString(deterministic=True))


@cli.command()
@click.argument("classifier", type=_PATH)
@click.option("--draw-size", type=click.IntRange(1, 1000), default=10, show_default=True)
@click.option("-o", "out", type=_PATH, required=True, help="The ONNX file to write.")
def svm(classifier: Path, draw_size: int, out: Path) -> None:
    """Export CLASSIFIER (.skops) alone, as a head: encodings and draws to probabilities."""
    from export.fuse import head_from_classifier
    from export.inputs import load_classifier

    fitted = load_classifier(classifier)
    head = head_from_classifier(fitted, n_features=fitted.n_features_in_, draw_size=draw_size)
    _write(out, head.SerializeToString(deterministic=True))


@cli.command()
@click.option("-o", "out", type=_PATH, required=True, help="The folder to write them in.")
def schemas(out: Path) -> None:
    """Write the JSON Schemas of a bundle's manifest, of a case's result and of a run's record."""
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
    help="Only this one.  [default: all that BUNDLE has, judged]",
)
@click.option("--model", "models", multiple=True, help="Only this one.  [default: all]")
def engine(bundle: Path, precisions: tuple[Precision, ...], models: tuple[str, ...]) -> None:
    """Build BUNDLE's TensorRT engines on this PC, for its GPU; `vexas-edge` finds them there.

    Each takes minutes and is kept once its layers are proved to compute in its precision.
    Exit status: 0, 4 no TensorRT, no GPU, or an engine that cannot be built or proved.
    """
    from export.engine import build_engines
    from vexas_edge.bundle.archive import open_bundle
    from vexas_edge.host.cache import cache_folder

    def say(line: str) -> None:
        click.echo(one_line(line), err=True)

    n = build_engines(open_bundle(bundle), say, precisions=precisions, models=models)
    click.echo(f"{n} engines in {cache_folder()}")


def _write(path: Path, content: bytes) -> None:
    from vexas_edge.files import write_atomically

    write_atomically(path, content)
    click.echo(f"wrote {path}")
