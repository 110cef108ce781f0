"""Torch as a process begins with it, whatever the caller has set: a notebook's defaults must not change a result."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

__all__ = ["plain_torch"]

_AUTOCAST = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def plain_torch() -> Iterator[None]:
    """Inside, torch has its own defaults; what the caller had set is back afterwards. Also a decorator of functions.

    That is: tensors made on the CPU and in float32, gradients recorded, neither inference mode nor autocast, sums and
    products in whole float32, and no algorithms that `use_deterministic_algorithms` exchanges (ours give the same bits
    without it). Where nothing was set it costs some microseconds. Default dtype, precision and algorithms are of the
    whole process: other threads see torch's defaults too meanwhile.
    """
    with ExitStack() as stack:
        # In this order: leaving inference mode sets whether gradients are recorded.
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in _AUTOCAST:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        _plain_defaults(stack)
        _plain_arithmetic(stack)
        yield


def _plain_defaults(stack: ExitStack) -> None:
    dtype = torch.get_default_dtype()
    if dtype != torch.float32:
        stack.callback(torch.set_default_dtype, dtype)
        torch.set_default_dtype(torch.float32)
    # Only where it is needed: it slows down every call of torch from Python.
    if not _makes_on_cpu():
        stack.enter_context(torch.device("cpu"))


def _makes_on_cpu() -> bool:
    try:
        return torch.empty(0).device.type == "cpu"
    except (RuntimeError, AssertionError):  # a default that is not there
        return False


def _plain_arithmetic(stack: ExitStack) -> None:
    if torch.are_deterministic_algorithms_enabled():
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        stack.callback(torch.use_deterministic_algorithms, True, warn_only=warn_only)
        torch.use_deterministic_algorithms(False)
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:  # set backend by backend, which this name cannot say
        return
    if precision != "highest":
        stack.callback(torch.set_float32_matmul_precision, precision)
        torch.set_float32_matmul_precision("highest")
