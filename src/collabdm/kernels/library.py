"""The compiled kernels: built once per machine with its C++ compiler, kept in the user's cache, called by ctypes."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path

__all__ = ["compiler", "library"]

FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-std=c++17")
SOURCES = ("convnet.cpp", "first.h", "norm.h", "tiles.h", "vectors.h")


def compiler() -> str | None:
    """Path of a C++ compiler that knows GNU vector extensions and OpenMP; `CXX` is tried first."""
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
    return next((path for name in names if name and (path := shutil.which(name))), None)


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The kernels, or None where they cannot be built (no compiler, another system): torch's own are used then."""
    path = compiler()
    if path is None or platform.system() != "Linux":
        return None
    folder = resources.files("collabdm.kernels")
    sources = {name: folder.joinpath(name).read_text() for name in SOURCES}
    try:
        return ctypes.CDLL(str(_built(path, sources)))
    except (OSError, subprocess.CalledProcessError):
        return None


def _built(path: str, sources: Mapping[str, str]) -> Path:
    """Compile unless these sources were compiled before by this compiler for this processor."""
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    digest = hashlib.sha256("\0".join((*sources.values(), version, _processor(), *FLAGS)).encode()).hexdigest()[:20]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "collabdm"
    target = cache / f"kernels-{digest}.so"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        for name, source in sources.items():
            (Path(folder) / name).write_text(source)
        built = Path(folder) / "kernels.so"
        subprocess.run(
            [path, *FLAGS, "-o", str(built), str(Path(folder) / SOURCES[0])], capture_output=True, check=True
        )
        built.rename(target)
    return target


def _processor() -> str:
    """What `-march=native` depends on: a home directory may be shared by unlike machines."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    wanted = ("model name", "flags", "Features", "CPU part")
    return platform.machine() + "".join(sorted({line for line in lines if line.startswith(wanted)}))
