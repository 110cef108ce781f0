"""The kernels as other processors get them: AVX2, no AVX at all, and ARM's vectors (in an emulator, where it is)."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from collabdm.kernels import compiler
from collabdm.randomness import Stream

KERNELS = Path(__file__).parents[2] / "src" / "collabdm" / "kernels"
ARM = ("aarch64-linux-gnu-g++", "qemu-aarch64")
HERE = "the processor itself"
# As `other_processors.cpp` reads them.
GIVEN = {"images": (3 * 3 * 15 * 15, 1.5), "weights": (27 * 32, 0.5), "gamma": (32, 1.5), "beta": (32, 0.3)}
GIVEN |= {"later": (32 * 9 * 64, 0.1), "turned": (64 * 9 * 32, 0.1)}


def ran(folder: Path, processor: str) -> np.ndarray:
    """What every kernel makes of the same numbers, built for a processor."""
    built, command = folder / processor.replace(" ", "-"), compiler()
    before: tuple[str, ...] = ()
    if processor == "armv8-a":
        command, before = ARM[0], (ARM[1], "-L", "/usr/aarch64-linux-gnu")
    assert command is not None
    march = "native" if processor == HERE else processor
    source = Path(__file__).with_name("other_processors.cpp")
    options = ("-O3", f"-march={march}", "-fopenmp", "-std=c++17", "-w", f"-I{KERNELS}")
    subprocess.run((command, *options, "-o", str(built), str(source)), check=True, capture_output=True)
    given = b"".join(
        Stream(1, name).uniform((count,), -reach, reach).astype(np.float32).tobytes()
        for name, (count, reach) in GIVEN.items()
    )
    out = subprocess.run((*before, str(built)), input=given, check=True, capture_output=True).stdout
    return np.frombuffer(out, np.float32)


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="the kernels need a C++ compiler")
@pytest.mark.parametrize("processor", ["x86-64-v2", "x86-64-v3", "armv8-a"])
def test_every_processor_computes_the_same(tmp_path: Path, processor: str) -> None:
    if processor == "armv8-a":
        missing = [name for name in ARM if shutil.which(name) is None]
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")
    elif not _runs(processor):
        pytest.skip(f"this processor does not run code for {processor}")
    wanted, got = ran(tmp_path, HERE), ran(tmp_path, processor)
    assert len(wanted) == len(got) > 40_000
    assert np.isfinite(got).all()
    # Sums in another order: no more than rounding.
    assert np.linalg.norm(got - wanted) < 1e-5 * np.linalg.norm(wanted)


def _runs(processor: str) -> bool:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return {"x86-64-v2": "sse4_2", "x86-64-v3": "avx2"}[processor] in flags
