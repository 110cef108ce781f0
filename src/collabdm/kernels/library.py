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

from collabdm.kernels.cache import CacheError, cache_folder, keep, kept, opened

__all__ = ["compiler", "library", "library_remark"]

FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-std=c++17")
SOURCES = ("convnet.cpp", "first.h", "norm.h", "tiles.h", "vectors.h", "winograd.h", "winograd_sides.h")


def compiler() -> str | None:
    """Path of a C++ compiler that knows GNU vector extensions and OpenMP; `CXX` is tried first."""
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def library() -> ctypes.CDLL | None:
    """The kernels, or None where they cannot be built (no compiler, another system): torch's own are used then."""
    return _loaded()[0]


def library_remark() -> str | None:
    """One line on the kernels in use: what was wrong with those kept, why new ones are not, or why there are none."""
    return _loaded()[1]


@lru_cache(maxsize=1)
def _loaded() -> tuple[ctypes.CDLL | None, str | None]:
    path = compiler()
    if path is None or platform.system() != "Linux":
        return None, None
    folder = resources.files("collabdm.kernels")
    sources = {name: folder.joinpath(name).read_text() for name in SOURCES}
    try:
        body, remark = _kept_or_built(path, sources)
        return opened(body), remark
    except subprocess.CalledProcessError as error:
        said = next(iter((error.stderr or "").splitlines()), f"code {error.returncode}")
        return None, f"{path} cannot compile our kernels: {said}"
    except OSError as error:
        return None, f"our kernels cannot be compiled or loaded here: {error}"


def _kept_or_built(path: str, sources: Mapping[str, str]) -> tuple[bytes, str | None]:
    """The library's bytes, compiled unless these sources were before by this compiler for this processor."""
    version = _run(path, "--version")
    digest = hashlib.sha256("\0".join((*sources.values(), version, _processor(), *FLAGS)).encode()).hexdigest()[:20]
    name, remark = f"kernels-{digest}.checked.so", None
    try:
        folder = cache_folder()
    except CacheError as error:
        return _built(path, sources), f"our kernels are compiled for this process only: {error}"
    try:
        found = kept(folder, name)
        if found is not None:
            return found, None
    except CacheError as error:
        remark = f"our kernels were compiled again: {folder / name} is not used, as {error}"
    body = _built(path, sources)
    try:
        keep(folder, name, body)
    except CacheError as error:
        remark = remark or f"our kernels are compiled for this process only: {folder / name} is not kept, as {error}"
    return body, remark


def _built(path: str, sources: Mapping[str, str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        for name, source in sources.items():
            (Path(folder) / name).write_text(source)
        built = Path(folder) / "kernels.so"
        _run(path, *FLAGS, "-o", str(built), str(Path(folder) / SOURCES[0]))
        return built.read_bytes()


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout


def _processor() -> str:
    """What `-march=native` depends on: a home directory may be shared by unlike machines."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    wanted = ("model name", "flags", "Features", "CPU part")
    return platform.machine() + "".join(sorted({line for line in lines if line.startswith(wanted)}))
