"""The words of `vexas-workshop train`, each a thin skin over a stage."""


def names_from_words(words: str | None) -> tuple[str, ...]:
    """The names in a list with commas between them; none without a list."""
    return tuple(name.strip() for name in words.split(",")) if words else ()
