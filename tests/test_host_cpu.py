"""Whether 8-bit products are summed exactly is asked of the CPU, and doubt means no."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from vexas_edge.host import cpu

FLAGS = "flags\t\t: fpu sse4_2 avx2 avx512f"


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    cpu.has_vnni.cache_clear()
    yield
    cpu.has_vnni.cache_clear()


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (f"{FLAGS} avx512_vnni\n", True),
        (f"{FLAGS} avx_vnni\n", True),
        (f"{FLAGS}\n", False),
        ("Features\t: fp asimd asimddp\n", True),
        (f"{FLAGS} no_avx512_vnni_here\n", False),
    ],
)
def test_linux_says_so_itself(
    info: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"model name\t: A CPU\n{info}")
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "cpuinfo")
    assert cpu.has_vnni() is expected
    assert cpu.cpu_name() == "A CPU"


@pytest.mark.parametrize(
    ("features", "expected"),
    [({"AVX512VNNI": True}, True), ({"ASIMDDP": True}, True), ({"AVX2": True}, False), ({}, False)],
)
def test_elsewhere_numpy_is_asked_and_doubt_means_no(
    features: dict[str, bool], expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "missing")
    monkeypatch.setattr(cpu, "_numpy_features", lambda: features)
    assert cpu.has_vnni() is expected
    assert cpu.cpu_name()


def test_numpy_and_linux_agree_here() -> None:
    if not cpu._CPUINFO.exists():
        pytest.skip("no /proc/cpuinfo here")
    if cpu._numpy_features().get("AVX512VNNI"):
        assert cpu.has_vnni()
