"""The entry point of `vexas-edge`: an interruption is one line, from the first moment on."""

import sys


def begin() -> None:
    """Run the command line. Loading it takes a moment, in which somebody may press Ctrl-C."""
    try:
        from vexas_edge.commands.cli import main as run

        run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    begin()
