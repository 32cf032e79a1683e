"""How long work tells whoever waits for it how far it is."""

from collections.abc import Callable

# Called with what is being done, one line each.
Say = Callable[[str], None]
# Called with what is counted, how many are done and how many there are.
Progress = Callable[[str, int, int], None]
