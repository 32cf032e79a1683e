"""From cells to encodings: each thread places some cells before the engine and runs it on them.

Threads that each make their own calls keep all cores busy. If one call were spread over all
threads, every operator would wait for the thread that shares its core with isolating cells. A GPU
is given full calls instead, and smaller ones where it runs out of memory.

Cells that are rows of numbers go into calls of one size, filled up with empty rows: a product of
matrices may be summed in another order where it has other numbers of rows, and no bit of a cell's
encoding is to depend on which cells come with it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vexas_edge.ahead import run_ahead
from vexas_edge.bundle.contract import CELLS, DRAWS, ENCODINGS, PROBABILITIES
from vexas_edge.bundle.models import Network, Vectors
from vexas_edge.cells.canvas import Canvas, placed_cell
from vexas_edge.errors import DeviceMemoryError, HostError
from vexas_edge.results.values import UsedCell
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.encoded import CheckedCall, Encoded
from vexas_edge.scoring.heads.checking import check_call
from vexas_edge.scoring.heads.inputs import inputs_of_call
from vexas_edge.scoring.images.canvases import canvas_of
from vexas_edge.scoring.images.reading import ReadCell, ReadCells
from vexas_edge.scoring.typed.said import NONE_KNOWN, SaidOfCells
from vexas_edge.scoring.vectors.reading import ReadRow, ReadRows
from vexas_edge.talk import Progress

# The cells of one model, read once, and one of them.
ModelCells = ReadCells | ReadRows
ReadOne = ReadCell | ReadRow


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """Some cells as the graph takes them.

    records: of all of them, whether they can be used or not.
    identities: of those that can be used.
    rows: of the same, in the same order, as the graph's input of cells has them.
    """

    records: list[UsedCell]
    identities: list[bytes]
    rows: NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class _Call:
    """The cells of one call. The encodings are those of the used cells, in their order."""

    records: list[UsedCell]
    encodings: NDArray[np.float32]
    checked: CheckedCall | None = None


@dataclass(frozen=True, kw_only=True)
class _Outputs:
    """What the engine returned: encodings, float32 (n, D), and what is to be checked of them."""

    encodings: NDArray[np.float32]
    checked: CheckedCall | None = None


@dataclass(frozen=True, kw_only=True)
class _Calls:
    """What all calls of one model share.

    place: puts cells before the model.
    """

    place: Callable[[Sequence[Any]], _Placed]
    name: str
    sessions: Sessions

    @property
    def model(self) -> Network:
        return self.sessions.bundle.manifest.networks[self.name]

    @property
    def rows_per_call(self) -> int | None:
        """How many rows every call has; None where it has as many as there are cells."""
        if isinstance(self.model.instances, Vectors):
            return self.sessions.cells_per_call(self.name)
        return None

    def run(self, cells: Sequence[ReadOne], *, checked: bool) -> _Call:
        """Place and encode some cells in one call of the engine.

        Args:
            checked: whether what follows the encodings is to be checked against the head. An engine
                that runs the whole graph runs that in every call.
        """
        placed = self.place(cells)
        if not placed.identities:
            return _Call(records=placed.records, encodings=_none(self.model))
        parts = self._encoded(placed, checked=checked)
        return _Call(
            records=placed.records,
            encodings=np.concatenate([part.encodings for part in parts]),
            checked=parts[0].checked,
        )

    def _encoded(self, cells: _Placed, *, checked: bool) -> list[_Outputs]:
        """The engine's outputs for these cells, in as few calls as its memory allows."""
        n_cells = len(cells.identities)
        n_rows = self.rows_per_call or n_cells

        def run(size: int) -> list[_Outputs]:
            starts = range(0, n_cells, size)
            return [self._outputs(cells, slice(s, s + size), checked and s == 0) for s in starts]

        on_gpu = self.sessions.on_gpu
        try:
            if on_gpu:
                return self.sessions.limits.within_memory(self.name, n_rows, run)
            return run(n_rows)
        except DeviceMemoryError as error:
            size = 1 if on_gpu else n_rows
            raise HostError(f"model {self.name}, a call of {size} cells: {error}") from error

    def _outputs(self, cells: _Placed, some: slice, checked: bool) -> _Outputs:
        identities, rows = cells.identities[some], cells.rows[some]
        inputs = inputs_of_call(self.model, identities, checked=checked)
        contract = self.sessions.contract(self.name, self.sessions.graph.file)
        if self.rows_per_call:
            rows = _filled_up(rows, some.stop - some.start)
        outputs = self.sessions.fused(self.name).run(contract.feeds({CELLS: rows, **inputs}))
        encodings = outputs[ENCODINGS][: len(identities)]
        if not (checked and self.sessions.run_whole_graphs):
            return _Outputs(encodings=encodings)
        found = CheckedCall(
            encodings=encodings, inputs=inputs, probabilities=outputs[PROBABILITIES]
        )
        return _Outputs(encodings=encodings, checked=found)


def _filled_up(rows: NDArray[Any], n_rows: int) -> NDArray[Any]:
    """The rows, and empty ones below them."""
    if len(rows) == n_rows:
        return rows
    filled = np.zeros((n_rows, *rows.shape[1:]), rows.dtype)
    filled[: len(rows)] = rows
    return filled


def encode_cells(
    read: ModelCells,
    name: str,
    sessions: Sessions,
    chunk_cells: int | None,
    progress: Progress,
    known: Mapping[str, NDArray[np.float32]] = NONE_KNOWN,
) -> Encoded:
    """The encodings of one model's cells.

    Of the first call that has a usable cell, what follows the encodings is kept, to be checked
    against the head, where the engine runs the whole graph.

    Args:
        chunk_cells: how many cells go into one call; None chooses a number that suits the engine.
        known: encodings that the model is known to give, by identity; they are not computed again.
    """
    cells = tuple(cell for cell in read.distinct if cell.record.identity not in known)
    calls = _Calls(place=_placing(read, sessions, name), name=name, sessions=sessions)
    size = chunk_cells or chunk_size(sessions, name, len(cells))
    size = min(size, calls.rows_per_call or size)
    size = min(size, sessions.fused(name).most_rows.get(CELLS, size))
    chunks = [cells[start : start + size] for start in range(0, len(cells), size)]
    done = [*_run_all(calls, chunks, progress), *_known_calls(read, known)]
    encoded = _joined(done, read, calls.model)
    if not np.isfinite(encoded.encodings).all():
        raise HostError(
            f"model {name}: the engine returned encodings that are not finite; "
            "run `vexas-edge verify` on this PC"
        )
    return encoded


def _placing(read: ModelCells, sessions: Sessions, name: str) -> Callable[[Sequence[Any]], _Placed]:
    """What places some of the distinct cells for a model; for many threads."""
    if isinstance(read, ReadRows):
        return partial(_placed_rows, read)
    canvas = canvas_of(sessions, name)
    if read.distinct:
        canvas = canvas.for_background(read.background)
    return partial(_placed_images, read, canvas)


def _placed_images(read: ReadCells, canvas: Canvas, cells: Sequence[ReadCell]) -> _Placed:
    placed = [placed_cell(read.decoded(cell), canvas) for cell in cells]
    pixels = [cell.pixels for cell in placed if cell.pixels is not None]
    return _Placed(
        records=[cell.record for cell in placed],
        identities=[cell.identity for cell in placed if cell.pixels is not None],
        rows=np.stack(pixels) if pixels else np.empty(0, np.uint8),
    )


def _placed_rows(read: ReadRows, cells: Sequence[ReadRow]) -> _Placed:
    return _Placed(
        records=[cell.record for cell in cells],
        identities=[bytes.fromhex(cell.record.identity) for cell in cells],
        rows=read.placed(cells),
    )


def _run_all(calls: _Calls, chunks: Sequence[Sequence[ReadOne]], progress: Progress) -> list[_Call]:
    """All calls, of which the first with a usable cell is checked."""
    done: list[_Call] = []
    n_done, n_cells = 0, sum(map(len, chunks))
    work = run_ahead(
        lambda index: calls.run(chunks[index], checked=index == 0),
        range(len(chunks)),
        threads=calls.sessions.fused(calls.name).threads,
    )
    with closing(work) as finished:
        for call in finished:
            done.append(call)
            n_done += len(call.records)
            progress(calls.name, n_done, n_cells)
    usable = next((index for index, call in enumerate(done) if len(call.encodings)), 0)
    if usable:  # no cell of the first call could be used
        done[usable] = calls.run(chunks[usable], checked=True)
    return done


def chunk_size(sessions: Sessions, name: str, n_cells: int) -> int:
    """The number of cells in one call: on a GPU full calls, on a CPU some for every thread.

    Calls of rows of numbers are full, too, as each is filled up anyway.
    """
    takes_rows = isinstance(sessions.bundle.manifest.networks[name].instances, Vectors)
    if sessions.on_gpu or takes_rows:
        return sessions.cells_per_call(name)
    threads = sessions.fused(name).threads
    return max(1, min(sessions.cells_per_call(name), -(-n_cells // threads)))


def _joined(calls: Sequence[_Call], read: ModelCells, model: Network) -> Encoded:
    placed = [record for call in calls for record in call.records]
    return Encoded(
        records=tuple(sorted((*placed, *read.others), key=lambda record: record.path)),
        identities=[bytes.fromhex(r.identity) for r in placed if r.status == "used"],
        encodings=np.concatenate([_none(model), *(call.encodings for call in calls)]),
        checked=next((call.checked for call in calls if call.checked), None),
    )


def _known_calls(read: ModelCells, known: Mapping[str, NDArray[np.float32]]) -> list[_Call]:
    """The cells whose encodings are known, as if the engine had been called."""
    own = [cell.record for cell in read.distinct if cell.record.identity in known]
    if not own:
        return []
    return [_Call(records=own, encodings=np.stack([known[one.identity] for one in own]))]


def _none(model: Network) -> NDArray[np.float32]:
    return np.empty((0, model.encoding_width), np.float32)


def cell_probabilities(
    cells: ReadCells,
    name: str,
    *,
    sessions: Sessions,
    chunk_cells: int | None,
    progress: Progress,
    known: Mapping[str, NDArray[np.float32]] = NONE_KNOWN,
) -> SaidOfCells:
    """What a model that names cells says of each, a cell a draw.

    Args:
        chunk_cells, known: as `encode_cells` has them.

    Raises:
        HostError, BundleError, InputError: as `score_case`.
    """
    encoded = encode_cells(cells, name, sessions, chunk_cells, progress, known)
    check_call(name, encoded.checked, partial(sessions.classify, name))
    order = encoded.by_identity
    if not order:
        return SaidOfCells(records=encoded.records, probabilities={}, encodings={})
    draws = np.arange(len(order), dtype=np.int64)[:, None]
    encodings = encoded.encodings[order]
    rows = sessions.classify(name, encodings, {DRAWS: draws})[PROBABILITIES].astype(np.float64)
    identities = [encoded.identities[place].hex() for place in order]
    familiar = sessions.familiar(name)
    return SaidOfCells(
        records=encoded.records,
        probabilities=dict(zip(identities, rows, strict=True)),
        encodings=dict(zip(identities, encodings, strict=True)),
        strangeness=familiar.strangeness(encodings) if familiar else None,
    )
