"""The errors that are expected, as opposed to bugs: one family, each class with its exit status.

    VexasEdgeError           1
    |- UsageError            2   the caller asked for something that makes no sense
    |- HostError             4   this PC cannot do what was asked
    |  |- MissingEngineError 4   an engine is not installed, or finds no device
    |  `- DeviceMemoryError  4   a GPU has too little free memory for a call of this size
    |- InputError            5   a case, or another input file, cannot be read
    |  `- CellError          5   one cell cannot be used
    |     `- RejectedCellError 5   its image was read, but does not show one whole cell
    `- BundleError           6   the bundle is damaged, incomplete, unsafe or of another schema

The command line prints any of them as one line and exits with its status. Every other exception is
a bug of ours and keeps its traceback.
"""


class VexasEdgeError(Exception):
    """Base of every expected error."""

    exit_status = 1


class UsageError(VexasEdgeError, ValueError):
    """The caller asked for something that makes no sense."""

    exit_status = 2


class HostError(VexasEdgeError, RuntimeError):
    """This PC cannot do what was asked: device, engine, self-test, output folder."""

    exit_status = 4


class MissingEngineError(HostError):
    """An engine is not installed here, or finds no device to run on.

    found: what was found instead.
    remedy: what a person can do about it.
    """

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}; {remedy}")
        self.found = found
        self.remedy = remedy


class DeviceMemoryError(HostError):
    """A GPU has too little free memory for what it was given; it may have enough for less."""


class InputError(VexasEdgeError, ValueError):
    """A case, or another input file, cannot be read."""

    exit_status = 5


class CellError(InputError):
    """One cell cannot be used. `reason` is machine-readable, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RejectedCellError(CellError):
    """The image was read, but what it shows cannot be one whole cell."""


class BundleError(VexasEdgeError, ValueError):
    """The bundle is damaged, incomplete, unsafe or of an unknown schema."""

    exit_status = 6
