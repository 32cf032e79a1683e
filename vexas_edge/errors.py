"""What can go wrong that is not our bug: one family, each member with its exit status."""


class VexasEdgeError(Exception):
    """Base of every expected error. The command line prints it as one line."""

    exit_status = 1


class UsageError(VexasEdgeError, ValueError):
    """The caller asked for something that makes no sense."""

    exit_status = 2


class HostError(VexasEdgeError, RuntimeError):
    """This PC cannot do what was asked: device, engine, self-test, output folder."""

    exit_status = 4


class InputError(VexasEdgeError, ValueError):
    """A case, or another input file, cannot be read."""

    exit_status = 5


class CellError(InputError):
    """One cell cannot be used. `reason` is machine-readable, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BundleError(VexasEdgeError, ValueError):
    """The bundle is damaged, incomplete, unsafe or of an unknown schema."""

    exit_status = 6
