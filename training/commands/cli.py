"""The command `vexas-workshop train`."""

import click

from training.commands.chain import demo_bundle, run
from training.commands.isolate import isolate, segmenter
from training.commands.judge import evaluate, fit, probe
from training.commands.learn import pretrain
from training.commands.make import encode, synth


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Make what vexas-edge runs with."""


for _command in (
    run,
    demo_bundle,
    synth,
    segmenter,
    isolate,
    pretrain,
    encode,
    probe,
    evaluate,
    fit,
):
    cli.add_command(_command)
