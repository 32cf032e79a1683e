"""The PCs that a kit is for: their system, their Python, and the wheels that fit."""

from dataclasses import dataclass
from typing import Literal

System = Literal["windows", "linux"]
PYTHONS = ("3.11", "3.12", "3.13")
# Engines that a kit holds on request only, by the names of our extras: TensorRT for RTX.
EXTRA_ENGINES = ("tensorrt",)

_PLATFORMS: dict[System, tuple[str, ...]] = {
    "windows": ("win_amd64",),
    "linux": (
        "manylinux_2_28_x86_64",
        "manylinux_2_27_x86_64",
        "manylinux_2_17_x86_64",
        "manylinux2014_x86_64",
    ),
}
# The values of each system for environment markers in wheels' metadata.
_MARKERS: dict[System, dict[str, str]] = {
    "windows": {"os_name": "nt", "sys_platform": "win32", "platform_system": "Windows"},
    "linux": {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux"},
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """One system with one version of 64-bit CPython."""

    system: System
    python: str

    @property
    def environment(self) -> dict[str, str]:
        """The values of all environment markers that a wheel's requirements may use."""
        return {
            **_MARKERS[self.system],
            "platform_machine": "AMD64" if self.system == "windows" else "x86_64",
            "platform_release": "",
            "platform_version": "",
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
        }

    @property
    def pip_options(self) -> list[str]:
        """Options that make `pip download` fetch wheels for this PC, and nothing but wheels."""
        platforms = [word for name in _PLATFORMS[self.system] for word in ("--platform", name)]
        python = ["--python-version", self.python, "--implementation", "cp"]
        return ["--only-binary=:all:", *platforms, *python]


def all_targets() -> list[Target]:
    """Every PC that a kit is for."""
    return [Target(system=system, python=python) for system in _PLATFORMS for python in PYTHONS]
