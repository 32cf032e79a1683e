"""The command `commission`, the way in for a site whose slides the domain gate refuses."""

from typing import Any

import click

from vexas_edge.commands.options import (
    PATH,
    case_arguments,
    engine_options,
    naming_options,
    reading_options,
)


@click.command()
@case_arguments
@click.option("--instrument", required=True, help="The analyzer that made the images.")
@click.option("--software", required=True, help="The version of its software.")
@click.option(
    "--known",
    type=PATH,
    metavar="CSV",
    help="A table with the columns case, label (a class of the bundle, or negative) and patient, "
    "separated by commas, which names each case and each patient once.",
)
@reading_options
@naming_options
@engine_options
def commission(**chosen: Any) -> int:
    """Say how a site's slides, each a CASE, differ from training; open the gate by known ones.

    What is found is kept beside the bundle, in NAME.vxb.site.json, and named in every result. The
    bundle stays as it is. A model's domain gate is opened only by known slides of one scanner: 20
    negatives and 10 positives that it answers for, called no worse than the bundle states. Without
    --known, a site file that opens one is left as it is.

    Exit status: 0 the site was described or opened, 2 wrong usage, 4 this PC cannot do what was
    asked, 5 the slides open nothing or cannot be read, 6 the bundle is invalid.

    \b
    Example:
      vexas-edge commission slides --recursive --bundle site.vxb --instrument DM96 --software 7.0
      vexas-edge commission slides --recursive --bundle site.vxb --instrument DM96 --software 7.0 \\
          --known known.csv
    """
    from vexas_edge.commands.site import CommissioningRun, run_commissioning

    return run_commissioning(CommissioningRun(**chosen))
