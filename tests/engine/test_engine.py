"""Which engine a piece of work gets, and what is refused."""

import ctypes
import platform
import shutil
from types import SimpleNamespace
from typing import Literal

import pytest
import torch
from pydantic import ValidationError

from collabdm.engine.engine import (
    BUILD_FROM_GFLOP,
    COMPILE_FROM_GFLOP,
    EAGER,
    REFERENCE,
    Engine,
    resolve_engine,
    tune_allocator,
)
from collabdm.errors import ConfigError

LARGE, SMALL = 10 * COMPILE_FROM_GFLOP, 0.1 * COMPILE_FROM_GFLOP


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A Linux machine with a C++ compiler and matrix tiles, without CUDA."""
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr("collabdm.engine.engine.library", object)
    monkeypatch.setattr("collabdm.engine.engine.library_remark", lambda: None)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    return monkeypatch


@pytest.mark.usefixtures("machine")
def test_auto_compiles_only_large_work() -> None:
    assert resolve_engine("auto", "auto", SMALL) == EAGER
    assert resolve_engine("auto", "cpu", LARGE) == Engine(kind="compiled", dtype="float32", device="cpu", chunk=32)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("name", ["auto", "compiled"])
def test_bfloat16_is_for_the_networks_whose_gradients_it_keeps(name: Literal["auto", "compiled"]) -> None:
    assert resolve_engine(name, "cpu", LARGE, own=True).dtype == "bfloat16"
    assert resolve_engine(name, "cpu", LARGE, own=False).dtype == "float32"


@pytest.mark.usefixtures("machine")
def test_own_kernels_repay_smaller_work() -> None:
    assert resolve_engine("auto", "cpu", SMALL, own=True).kind == "compiled"
    assert resolve_engine("auto", "cpu", 0.1 * BUILD_FROM_GFLOP, own=True) == EAGER


def test_the_threads_of_torch_are_kept_and_spread(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(torch, "get_num_threads", lambda: 6)
    engine = resolve_engine("auto", "cpu", LARGE)
    assert engine.threads == 6
    # A thread a chunk where operations are ours, torch's own threads within an operation of its compiler.
    assert engine.spread(own=True) == (6, 1)
    assert engine.spread(own=False) == (1, 6)
    assert resolve_engine("eager", "cpu", LARGE).spread(own=False) == (6, 1)
    # A batch occupies eight threads; further cores go to further processes.
    machine.setattr(torch, "get_num_threads", lambda: 40)
    many = resolve_engine("auto", "cpu", LARGE)
    assert (many.processes, many.threads) == (5, 8)


@pytest.mark.parametrize(("cores", "gigabytes", "processes"), [(16, 80, 8), (16, 16, 3), (6, 80, 3), (1, 4, 1)])
def test_several_processes_keep_an_accelerator_busy(
    machine: pytest.MonkeyPatch, cores: int, gigabytes: int, processes: int
) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    machine.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=gigabytes * 10**9), raising=False
    )
    machine.setattr(torch, "get_num_threads", lambda: cores)
    large = resolve_engine("auto", "auto", LARGE, own=True)
    assert (large.kind, large.dtype, large.device) == ("compiled", "bfloat16", "cuda")
    assert (large.processes, large.threads) == (processes, 1)
    assert resolve_engine("auto", "auto", SMALL, own=True) == Engine(device="cuda", chunk=512)


def test_compiled_without_matrix_tiles_is_float32(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert resolve_engine("compiled", "cpu", SMALL, own=True).dtype == "float32"
    machine.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_engine("auto", "cpu", LARGE, own=True).dtype == "float32"


@pytest.mark.usefixtures("machine")
def test_a_named_engine_is_taken_whatever_the_work() -> None:
    assert resolve_engine("eager", "cpu", LARGE) == EAGER
    assert resolve_engine("compiled", "cpu", SMALL).kind == "compiled"


def test_without_a_compiler_auto_is_eager_and_compiled_an_error(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(shutil, "which", lambda _: None)
    assert resolve_engine("auto", "cpu", LARGE) == EAGER
    told: list[str] = []
    assert resolve_engine("auto", "cpu", LARGE, own=True, tell=told.append) == EAGER
    assert resolve_engine("auto", "cpu", 0.0, own=True, tell=told.append) == EAGER
    assert told == ["plain torch in float32, several times slower: no working C++ compiler here (install g++)"]
    with pytest.raises(ConfigError, match=r"got compiled; expected a C\+\+ compiler .*fix: install g\+\+"):
        resolve_engine("compiled", "cpu", LARGE)


def test_what_was_wrong_with_the_kernels_is_told(machine: pytest.MonkeyPatch) -> None:
    machine.setattr("collabdm.engine.engine.library_remark", lambda: "they were damaged")
    told: list[str] = []
    assert resolve_engine("auto", "cpu", LARGE, own=True, tell=told.append).kind == "compiled"
    machine.setattr("collabdm.engine.engine.library", lambda: None)
    assert resolve_engine("auto", "cpu", LARGE, own=True, tell=told.append) == EAGER
    assert told == ["they were damaged", "plain torch in float32, several times slower: they were damaged"]
    with pytest.raises(ConfigError, match=r"got compiled \(they were damaged\); expected"):
        resolve_engine("compiled", "cpu", LARGE, own=True)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("device", ["tpu", "cuda:99", ""])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match=r"^device: got ") as refused:
        resolve_engine("auto", device, SMALL)
    assert "\n" not in str(refused.value)


def test_dtypes() -> None:
    assert (REFERENCE.torch_dtype, REFERENCE.sample_dtype) == (torch.float64, torch.float64)
    assert (EAGER.torch_dtype, EAGER.sample_dtype) == (torch.float32, torch.float32)
    half = Engine(dtype="bfloat16")
    assert (half.torch_dtype, half.sample_dtype) == (torch.bfloat16, torch.float32)


def test_an_engine_survives_a_configuration_file_and_is_fixed() -> None:
    engine = Engine(kind="compiled", dtype="bfloat16", chunk=64)
    assert Engine.model_validate(engine.model_dump()) == engine
    with pytest.raises(ValidationError):
        Engine.model_validate({"threads": 0})
    with pytest.raises(ValidationError):
        Engine.model_validate({"fast": True})
    with pytest.raises(ValidationError):
        engine.chunk = 1  # type: ignore[misc]


def test_elsewhere_than_on_glibc_the_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise AssertionError(f"{name} was loaded")

    monkeypatch.setattr(ctypes, "CDLL", fail)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    tune_allocator()
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    tune_allocator()
