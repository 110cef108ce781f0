"""How tensors are computed: eager or compiled, in which dtype, on which device, in chunks of how many samples.

`auto` is resolved once from the whole work, written to the run's configuration and kept on resume.
"""

import ctypes
import platform
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, Field

from collabdm.engine.workers import Threads
from collabdm.errors import ConfigError, did_you_mean, explain
from collabdm.kernels import compiler, library, library_remark

__all__ = ["EAGER", "REFERENCE", "Engine", "EngineName", "found_device", "resolve_engine", "tune_allocator"]

EngineName = Literal["auto", "eager", "compiled"]

# Compiling costs about 10 s a shape; compiled bf16 saves about a third of a millisecond per GFLOP-scale image.
COMPILE_FROM_GFLOP = 3000.0
# Our own kernels are built in two seconds, once for all runs on a machine.
BUILD_FROM_GFLOP = 200.0

# A batch of 256 has eight chunks of 32: more threads would wait for one another.
MOST_THREADS = 8

# On an accelerator a process is busy launching: several keep it busy. Each needs a core or two, and memory for a
# context, and for the activations of `HELD_SAMPLES`.
CORES_A_PROCESS, GIGABYTES_A_PROCESS = 2, 5

_DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")


class Engine(BaseModel, frozen=True, extra="forbid"):
    """A resolved engine.

    `compiled` is our own kernels on a processor where they know the network, else torch's compiler. `chunk` samples go
    through a network at once: few enough that activations stay in cache. Clients of a simulation and networks to be
    trained are shared among `processes`, each of which uses `threads`; results do not depend on their numbers.
    """

    kind: Literal["eager", "compiled"] = "eager"
    dtype: Literal["float64", "float32", "bfloat16"] = "float32"
    device: str = "cpu"
    chunk: Annotated[int, Field(ge=1)] = 32
    threads: Annotated[int, Field(ge=1)] = 1
    processes: Annotated[int, Field(ge=1)] = 1

    def __repr__(self) -> str:
        shared = f"{self.processes} processes of {self.threads} threads"
        return f"Engine({self.kind}, {self.dtype}, on {self.device}, chunks of {self.chunk}, {shared})"

    __str__ = __repr__

    @property
    def fuses(self) -> bool:
        """Whether our own kernels are used for the networks they know."""
        return self.kind == "compiled" and self.device == "cpu"

    def spread(self, *, own: bool) -> Threads:
        """A thread a chunk, or (with a graph of torch's compiler, or on an accelerator) torch's own threads.

        `own`: the network runs on our own kernels.
        """
        chunks = self.device == "cpu" and (own or self.kind == "eager")
        return Threads(self.threads, 1) if chunks else Threads(1, self.threads)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype of activations; sums are kept in float64, the synthetic samples in float32 at least."""
        return {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}[self.dtype]

    @property
    def sample_dtype(self) -> torch.dtype:
        """The dtype in which samples are normalised, augmented and updated."""
        return torch.float64 if self.dtype == "float64" else torch.float32


EAGER = Engine()
REFERENCE = Engine(dtype="float64")


def resolve_engine(
    name: EngineName,
    device: str,
    gigaflop: float,
    *,
    own: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Engine:
    """Choose for a whole work of about `gigaflop` (counting forward and backward).

    `auto` compiles where the work repays it and a C++ compiler exists (or the device is CUDA); otherwise it is eager in
    float32. `own`: our own kernels know all networks of the work. Only then, and
    where there are matrix tiles or a GPU that multiplies it, compiled work is in bfloat16: through deeper networks that
    changes gradients by half (`experiments/precision.py`).
    `tell` gets one line where compiling was worth it but cannot be done.
    Raises `ConfigError` for a device that is not there, or `compiled` without a compiler.
    """
    resolved = found_device(device)
    cuda = resolved.startswith("cuda")
    repaid = gigaflop >= (BUILD_FROM_GFLOP if own and not cuda else COMPILE_FROM_GFLOP)
    wanted = name == "compiled" or (name == "auto" and repaid)
    remark, can_compile = None, cuda or (compiler() is not None and platform.system() == "Linux")
    if wanted and own and can_compile and not cuda:
        can_compile, remark = library() is not None, library_remark()
        if remark and can_compile:
            tell(remark)
    if name == "compiled" and not can_compile:
        raise ConfigError(
            explain(
                "engine",
                got=f"compiled ({remark})" if remark else "compiled",
                expected="a C++ compiler on PATH",
                fix="install g++, or use engine=eager",
            )
        )
    cores = torch.get_num_threads()
    processes = _processes_beside(resolved, cores, wanted) if cuda else max(1, cores // MOST_THREADS)
    settings = {
        "device": resolved,
        "chunk": 512 if cuda else 32,
        "threads": 1 if cuda else cores // processes,
        "processes": processes,
    }
    if wanted and not can_compile:
        why = remark or "no working C++ compiler here (install g++)"
        tell(f"plain torch in float32, several times slower: {why}")
    if not wanted or not can_compile:
        return Engine.model_validate(settings)
    dtype = "bfloat16" if own and _fast_bfloat16(resolved) else "float32"
    return Engine.model_validate(settings | {"kind": "compiled", "dtype": dtype})


def tune_allocator() -> None:
    """Let glibc keep freed memory instead of returning it to the kernel: large activations are reused, not re-faulted.

    Process-wide, so only the command line calls it; elsewhere than on glibc it does nothing.
    """
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 64 << 20)):  # MMAP_MAX, TRIM_THRESHOLD, TOP_PAD
            libc.mallopt(option, value)


def found_device(device: str) -> str:
    """The device, `auto` resolved. Raises `ConfigError` for one that torch does not find here."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        fix = "use device=cpu or auto"
        if device not in _DEVICES:
            fix = did_you_mean(device, _DEVICES, fix)
        raise ConfigError(explain("device", got=device, expected="a device that torch finds here", fix=fix)) from error
    return device


def _processes_beside(device: str, cores: int, wanted: bool) -> int:
    if not wanted:  # too little work to start any
        return 1
    memory = torch.cuda.get_device_properties(device).total_memory / 1e9
    return max(1, min(cores // CORES_A_PROCESS, int(memory / GIGABYTES_A_PROCESS), MOST_THREADS))


def _fast_bfloat16(device: str) -> bool:
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    # Without matrix tiles our convolutions in float32 are faster than oneDNN's in bfloat16, and exact.
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # absent from older torch: then float32
    return bool(capabilities.get("amx_bf16"))
