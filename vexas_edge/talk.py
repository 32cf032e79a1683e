"""The callbacks through which long work reports its progress."""

from collections.abc import Callable

# Called with one line that says what is being done.
Say = Callable[[str], None]
# Called with the name of what is counted, how many are done and how many there are.
Progress = Callable[[str, int, int], None]
