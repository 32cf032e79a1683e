"""Where long work of the workshop reports its progress."""

from dataclasses import dataclass

from vexas_edge.talk import Progress, Say


@dataclass(frozen=True, kw_only=True)
class Talk:
    """The callbacks of one run.

    say: takes a line of text.
    progress: takes what is being done, how much of it is done, and how much there is.
    """

    say: Say
    progress: Progress
