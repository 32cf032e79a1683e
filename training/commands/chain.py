"""The commands that do everything: `run`, and `demo-bundle`, which is one run of it."""

from pathlib import Path
from typing import Any

import click

from vexas_edge.commands.progress import ProgressLine
from vexas_edge.text import one_line

SHIPPED = Path("vexas_edge/demo")
_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("spec", type=_PATH)
@click.option("-o", "out", type=_PATH, required=True, help="A folder; stages done there stay.")
def run(spec: Path, out: Path) -> None:
    """From the cohort that SPEC (.toml) names to a bundle that was judged.

    Isolate, pretrain, encode, probe, evaluate, fit, export, calibrate. Each stage is done once for
    the same inputs; the same command goes on after an interruption.
    """
    from training.chain.chain_spec import chain_from_file
    from training.chain.run import run_chain

    bundle = run_chain(chain_from_file(spec), spec.parent, out, _talk(spec.stem))
    click.echo(f"bundle: {bundle}")


@click.command("demo-bundle")
@click.option("--accept", is_flag=True, help="Scores that have moved, too.")
def demo_bundle(accept: bool) -> None:
    """Rebuild the synthetic demonstration that ships inside the wheel, if its scores stay.

    Run it from the repository's folder. Stages are kept in build/demo: a run that was interrupted
    goes on there.
    """
    from training.chain.demo import build_demo, install_demo

    built = build_demo(Path("build/demo"), _talk("demo"))
    for model, (before, now) in install_demo(built, SHIPPED, accept=accept).items():
        click.echo(f"{model}: {now}, before {before}")


def _talk(name: str) -> Any:
    from training.chain.chain import Talk

    progress = ProgressLine(name, unit="")

    def say(text: str) -> None:
        progress.clear()
        click.echo(one_line(text), err=True)

    return Talk(say=say, progress=progress)
