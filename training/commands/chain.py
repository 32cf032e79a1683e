"""The commands that do everything: `run`, and `demo-bundle`, which is one run of it."""

from pathlib import Path
from typing import Any

import click

from vexas_edge.console import Progress, one_line

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("spec", type=_PATH)
@click.option("-o", "out", type=_PATH, required=True, help="A folder; stages done there stay.")
def run(spec: Path, out: Path) -> None:
    """From the cohort that SPEC (.toml) names to a bundle that was judged.

    Isolate, pretrain, encode, probe, evaluate, fit, export, calibrate. Each stage is done once for
    the same inputs; the same command goes on after an interruption.
    """
    from training.chain.run import run_chain
    from training.chain.spec import chain_from_file

    bundle = run_chain(chain_from_file(spec), spec.parent, out, _talk(spec.stem))
    click.echo(f"bundle: {bundle}")


@click.command("demo-bundle")
@click.option("-o", "out", type=_PATH, default=Path("vexas_edge/demo"), show_default=True)
@click.option("--work", type=_PATH, default=Path("build/demo"), show_default=True)
def demo_bundle(out: Path, work: Path) -> None:
    """Rebuild the synthetic demonstration that ships inside the wheel, and compare its scores.

    WORK keeps cohort and stages: a run that was interrupted goes on there.
    """
    from training.demo_bundle import build_demo, demo_scores

    before = demo_scores(out)
    build_demo(out, work, _talk("demo"))
    for file in sorted(out.iterdir()):
        click.echo(f"{file}: {file.stat().st_size} bytes")
    for model, score in demo_scores(out).items():
        moved = f", {score - before[model]:+.1e} from before" if model in before else ""
        click.echo(f"{model}: {score:.6f}{moved}")


def _talk(name: str) -> Any:
    from training.chain.chain import Talk

    progress = Progress(name, unit="")

    def say(text: str) -> None:
        progress.clear()
        click.echo(one_line(text), err=True)

    return Talk(say=say, progress=progress)
