"""The entry point of `vexas-edge`: an interruption is one line, from the first moment on."""

import signal
import sys

# What ends a process in order as Ctrl-C does: a service manager, Windows's Ctrl-Break, a terminal
# that is closed.
_ENDING = ("SIGTERM", "SIGBREAK", "SIGHUP")


def begin() -> None:
    """Run the command line. Loading it takes a moment, in which somebody may press Ctrl-C."""
    for name in _ENDING:
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        from vexas_edge.commands.cli import main as run

        run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    begin()
