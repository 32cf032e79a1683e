"""Scoring on a made-up GPU: full calls, calls that fit, and the same scores as on the CPU."""

from collections.abc import Callable
from pathlib import Path

import pytest
from gpu_standin import simulated_card
from test_runtime_choice import with_graphs
from tiny import Ended, write_case

from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.archive import Bundle
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import HostError
from vexas_edge.results.values import CaseScore
from vexas_edge.runtime import call_limits
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring import encoding

ON_CUDA = EngineOptions(engine="onnxruntime", device="cuda", threads=3, rows_per_call=16)


@pytest.fixture(scope="module")
def smear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_case(tmp_path_factory.mktemp("smear"), neutrophil=40, monocyte=12, lymphocyte=12)


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


def scored(bundle: Bundle, smear: Path, options: EngineOptions) -> CaseScore:
    with Sessions(bundle, options, "fp32") as sessions:
        return score_case(read_case(smear), bundle, sessions)


def scores(result: CaseScore) -> list[float | None]:
    return [model.score for model in result.models]


@pytest.fixture
def on_the_cpu(bundle: Bundle, smear: Path) -> list[float | None]:
    return scores(scored(bundle, smear, EngineOptions(device="cpu", threads=3)))


def test_a_gpu_gets_full_calls_whatever_the_number_of_threads(bundle: Bundle) -> None:
    with simulated_card(), Sessions(bundle, ON_CUDA) as sessions:
        sizes = {encoding.chunk_size(sessions, "neutrophil", n) for n in (1, 40, 1000)}
        assert sizes == {16}
        usual = EngineOptions(engine="onnxruntime", device="cuda")
        with Sessions(bundle, usual) as unmeasured:
            assert encoding.chunk_size(unmeasured, "neutrophil", 1000) == 32


def test_scores_are_those_of_the_cpu(
    bundle: Bundle, smear: Path, on_the_cpu: list[float | None]
) -> None:
    with simulated_card() as card:
        found = scored(bundle, smear, ON_CUDA)
    assert scores(found) == on_the_cpu
    assert found.run
    assert found.run.device == "cuda"
    assert set(card.calls) == {16, 8}  # 40 cells in three calls, 12 in one


@pytest.mark.parametrize("most", [1, 2, 5, 8, 15])
def test_a_call_without_memory_enough_is_halved_and_the_scores_are_the_same(
    bundle: Bundle, smear: Path, on_the_cpu: list[float | None], most: int
) -> None:
    with simulated_card(most_rows=most) as card:
        assert scores(scored(bundle, smear, ON_CUDA)) == on_the_cpu
        assert max(card.calls) <= most
        assert max(card.calls) > most // 2


def test_the_smaller_calls_are_remembered_for_the_next_run(bundle: Bundle, smear: Path) -> None:
    with simulated_card(most_rows=4) as card:
        scored(bundle, smear, ON_CUDA)
        with Sessions(bundle, ON_CUDA, "fp32") as sessions:
            assert sessions.cells_per_call("neutrophil") == 4
        n_before = card.n_failed
        scored(bundle, smear, ON_CUDA)
    assert n_before > 0
    assert card.n_failed == n_before


def test_limits_of_one_engine_and_precision_are_not_those_of_another(
    tiny_bundle: Path, smear: Path, tmp_path: Path
) -> None:
    bundle = open_bundle(with_graphs(tiny_bundle, tmp_path / "b.vxb", "fused.fp16.onnx"))
    with simulated_card(most_rows=4):
        scored(bundle, smear, ON_CUDA)
        with Sessions(bundle, ON_CUDA, "fp16") as half:
            assert half.cells_per_call("neutrophil") == 16
    with Sessions(bundle, EngineOptions(device="cpu"), "fp32") as on_cpu:
        assert on_cpu.cells_per_call("neutrophil") == 32


def test_a_cache_that_cannot_be_written_stops_no_case(
    bundle: Bundle,
    smear: Path,
    on_the_cpu: list[float | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object) -> None:
        raise HostError("the cache folder cannot be created")

    monkeypatch.setattr(call_limits, "store", refused)
    with simulated_card(most_rows=4):
        assert scores(scored(bundle, smear, ON_CUDA)) == on_the_cpu


def test_where_a_single_cell_does_not_fit_the_remedy_is_named(
    bundle: Bundle, smear: Path, vexas_edge: Callable[..., Ended]
) -> None:
    with simulated_card(most_rows=0):
        with pytest.raises(HostError, match=r"call of 1 cells: .* or use --device cpu"):
            scored(bundle, smear, ON_CUDA)
        asked = ("--engine", "onnxruntime", "--device", "cuda")
        ended = vexas_edge("score", smear, "--bundle", bundle.path, *asked)
    assert ended.status == HostError.exit_status
    assert ended.out == ""
    assert "use --device cpu" in ended.err


def test_on_a_cpu_nothing_about_calls_is_looked_up(bundle: Bundle, smear: Path) -> None:
    with Sessions(bundle, EngineOptions(device="cpu", threads=1), "fp32") as sessions:
        assert not sessions.on_gpu
        score_case(read_case(smear), bundle, sessions)
        assert "limits" not in vars(sessions)
