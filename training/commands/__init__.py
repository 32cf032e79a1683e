"""The words of `vexas-workshop train`, each a thin skin over a stage."""

from typing import Any


def names_from_words(words: str | None) -> tuple[str, ...]:
    """The names in a list with commas between them; none without a list."""
    return tuple(name.strip() for name in words.split(",")) if words else ()


def reading_from(asked: dict[str, Any]) -> Any:
    """The reading options among the words that a command was given, taken out of them."""
    from vexas_edge.smear.options import read_options

    words = ("layout", "class_from", "cell_type", "class_map")
    return read_options(**{word: asked.pop(word) for word in words})
