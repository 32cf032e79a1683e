"""The commands that run the whole chain: `run`, and `demo-bundle`, which is one run of it."""

from pathlib import Path

import click

from training.commands import console_talk
from vexas_edge.commands.console import echo

_ROOT = Path(__file__).parents[2]
SHIPPED = _ROOT / "vexas_edge" / "demo"
_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("spec", type=_PATH)
@click.option(
    "-o",
    "out",
    type=_PATH,
    required=True,
    help="Folder for the stages; those finished there for the same inputs are kept.",
)
def run(spec: Path, out: Path) -> None:
    """Train, judge and export everything that SPEC (.toml) describes, from a cohort to a bundle.

    The stages are: isolate, pretrain, encode, probe, evaluate, fit or bags, export, calibrate.
    Each is run once for the same inputs and code, so the same command continues after an
    interruption, and after a change it remakes only what that touches.

    \b
    Example:
      vexas-workshop train synth -o work/cohort --patients 70 --strength 1 --crops
      cp examples/vexas/spec.toml work/
      vexas-workshop train run work/spec.toml -o work/stages
    """
    from training.chain.chain_spec import chain_from_file
    from training.chain.run import run_chain

    bundle = run_chain(chain_from_file(spec), spec.parent, out, console_talk(spec.stem))
    echo(f"bundle: {bundle}")


@click.command("demo-bundle")
@click.option(
    "--accept", is_flag=True, help="Replace the demonstration even if its scores have changed."
)
def demo_bundle(accept: bool) -> None:
    """Rebuild the synthetic demonstration that ships inside the wheel.

    It is replaced only if its scores have not changed. Finished stages are kept in the repository's
    folder build/demo, so the same command continues after an interruption.

    \b
    Example:
      vexas-workshop train demo-bundle
    """
    from training.chain.demo import build_demo, install_demo

    built = build_demo(_ROOT / "build" / "demo", console_talk("demo"))
    for model, (before, now) in install_demo(built, SHIPPED, accept=accept).items():
        echo(f"{model}: {now}, before {before}")
