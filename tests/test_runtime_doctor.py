"""What `doctor` finds on this PC and on PCs made up for the purpose, with the remedy."""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from tiny import Ended

from vexas_edge.engines import onnxruntime
from vexas_edge.engines.cuda_start import CudaProblem
from vexas_edge.errors import MissingEngineError
from vexas_edge.host import facts
from vexas_edge.host.facts import NvidiaGpu
from vexas_edge.runtime import doctor
from vexas_edge.runtime.doctor import can_score, examine, is_network_share


def finding(subject: str, folder: Path) -> doctor.Finding:
    return next(f for f in examine(folder) if f.subject == subject)


def test_this_pc_can_score(tmp_path: Path, vexas_edge: Callable[..., Ended]) -> None:
    ended = vexas_edge("doctor", "-o", tmp_path)
    assert ended.status == 0
    assert "ok       onnxruntime: " in ended.out
    assert f"results folder: {tmp_path} can be written" in ended.out


def test_json_has_a_line_a_finding(tmp_path: Path, vexas_edge: Callable[..., Ended]) -> None:
    lines = vexas_edge("doctor", "-o", tmp_path, "--json").out.splitlines()
    subjects = [json.loads(line)["subject"] for line in lines]
    assert subjects[:2] == ["CPU", "GPU"]
    assert {"onnxruntime", "openvino", "tensorrt", "cache folder", "results folder"} <= set(
        subjects
    )


def test_a_cpu_without_vnni_is_told_what_it_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "has_vnni", lambda: False)
    found = finding("CPU", tmp_path)
    assert found.state == "limited"
    assert "7-bit weights" in found.found


@pytest.mark.parametrize(
    ("gpu", "state", "said"),
    [
        (NvidiaGpu(name="NVIDIA T4", driver="535.104.05"), "limited", "install driver 580"),
        (NvidiaGpu(name="NVIDIA T4", driver="580.65.06"), "ok", ""),
        (None, "limited", ""),
    ],
)
def test_a_driver_that_is_too_old_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: NvidiaGpu | None, state: str, said: str
) -> None:
    monkeypatch.setattr(doctor, "nvidia_gpu", lambda: gpu)
    found = finding("GPU", tmp_path)
    assert found.state == state
    assert said in found.remedy


def test_a_gpu_that_onnxruntime_does_not_use_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        doctor, "nvidia_gpu", lambda: NvidiaGpu(name="NVIDIA T4", driver="580.65.06")
    )
    monkeypatch.setattr(doctor, "devices_of", lambda _: ("cpu",))
    found = finding("onnxruntime", tmp_path)
    assert found.state == "ok"
    assert "onnxruntime-gpu" in found.remedy


def test_a_build_for_a_gpu_that_does_not_run_there_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = CudaProblem(found="no NVIDIA GPU, or no driver for it", remedy="install a driver")
    monkeypatch.setattr(onnxruntime, "why_not_cuda", lambda: problem)
    monkeypatch.setattr(doctor, "nvidia_gpu", lambda: None)
    monkeypatch.setattr(
        doctor, "_installed", lambda name: "1.31.1" if name == "onnxruntime-gpu" else None
    )
    found = finding("onnxruntime", tmp_path)
    assert found.state == "ok"  # the CPU scores
    assert found.found == ("1.31.1, runs on cpu; not on a GPU: no NVIDIA GPU, or no driver for it")
    assert found.remedy == "to use a GPU, install a driver"
    assert "install NVIDIA's driver 580" in finding("GPU", tmp_path).remedy


def test_a_missing_engine_comes_with_its_remedy_and_without_the_reference_nothing_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vexas_edge: Callable[..., Ended]
) -> None:
    def devices_of(engine: str) -> tuple[str, ...]:
        raise MissingEngineError(
            f"{engine} cannot be loaded (DLL load failed)", "install `msvc-runtime`"
        )

    monkeypatch.setattr(doctor, "devices_of", devices_of)
    found = finding("onnxruntime", tmp_path)
    assert (found.state, found.remedy) == ("missing", "install `msvc-runtime`")
    assert not can_score(tuple(examine(tmp_path)))
    assert vexas_edge("doctor").status == 4


def test_both_onnxruntime_wheels_are_one_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda _: "1.31.1")
    assert "uninstall both" in finding("onnxruntime wheels", tmp_path).remedy


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refused)
    found = finding("results folder", tmp_path / "not there yet")
    assert found.state == "missing"
    assert found.found.endswith("cannot be written: Permission denied")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("file/results", "is not a folder"),
        ("file", "is not a folder"),
    ],
)
def test_a_folder_that_cannot_be_is_named(tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    found = finding("results folder", tmp_path / place)
    assert found.state == "missing"
    assert said in found.found


class Gone:
    """A folder on a drive that is not there any more."""

    parents = ()

    def absolute(self) -> "Gone":
        return self

    def is_dir(self) -> bool:
        return False

    exists = is_dir

    def __str__(self) -> str:
        return "Z:/results"


def test_a_drive_that_is_gone_is_named() -> None:
    folder: Any = Gone()
    found = doctor._writable("results", folder, "choose another")
    assert found.state == "missing"
    assert found.found.startswith("Z:/results cannot be written: neither its drive")


def test_a_network_share_is_known_by_its_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = "/dev/sda / ext4 rw 0 0\n//lab/exports /mnt/exports cifs rw 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: mounts)
    assert is_network_share(Path("/mnt/exports/2026/smear"))
    assert not is_network_share(Path("/mnt/exports2"))
    assert not is_network_share(tmp_path)


@pytest.mark.parametrize(
    ("folder", "drive_type", "expected"),
    [("\\\\lab\\exports", 0, True), ("Z:\\exports", 4, True), ("C:\\exports", 3, False)],
)
def test_a_network_share_of_windows_is_known(
    monkeypatch: pytest.MonkeyPatch, folder: str, drive_type: int, expected: bool
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(doctor, "_drive_type", lambda _: drive_type)
    assert is_network_share(PureWindowsPath(folder)) is expected  # type: ignore[arg-type]


def test_paths_too_long_for_windows_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "name", "nt")
    deep = PureWindowsPath("C:\\" + "exports\\" * 20)
    deep_with_absolute: Any = type(
        "Deep", (), {"absolute": lambda _: deep, "__str__": lambda _: str(deep)}
    )()
    (found,) = doctor._long_paths(deep_with_absolute, lambda: False)
    assert "nearer to the root" in found.remedy
    assert not list(doctor._long_paths(deep_with_absolute, lambda: True))


def test_the_gpu_and_its_driver_are_asked_of_nvidia_smi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'NVIDIA T4, 580.65.06'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    facts.nvidia_gpu.cache_clear()
    assert facts.nvidia_gpu() == NvidiaGpu(name="NVIDIA T4", driver="580.65.06")
    command.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    facts.nvidia_gpu.cache_clear()
    assert facts.nvidia_gpu() is None
    facts.nvidia_gpu.cache_clear()
