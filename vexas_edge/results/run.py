"""What ran, for the record of a result."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """How and when a result was made.

    engine, engine_version, device, threads: null if no engine had been started by then.
    types_precision: of the models that name cells; null where they have no bundle of their own.
    choice_reason: why this engine and this precision were chosen, for people.
    decoder: what decoded files of cells.
    seeds: the seed of each model's draws, if it has any.
    started: UTC, ISO 8601.
    """

    vexas_edge: str
    python: str
    numpy: str
    decoder: str
    engine: str | None
    engine_version: str | None
    device: str | None
    threads: int | None
    precision: str
    types_precision: str | None = None
    choice_reason: str
    seeds: dict[str, int]
    started: str
    seconds: float
