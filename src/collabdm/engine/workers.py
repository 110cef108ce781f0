"""Work on several threads, with results in order and the same whatever their number.

A thread computes a whole chunk with single-threaded operations: no thread waits for another between two layers, and a
core's cache keeps its own chunk.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple, TypeVar

import torch
from threadpoolctl import threadpool_limits

__all__ = ["Threads", "in_order", "library_threads", "torch_threads"]

T = TypeVar("T")
R = TypeVar("R")


class Threads(NamedTuple):
    """How work is spread: `workers` threads with a chunk each, or `inner` threads within every operation."""

    workers: int
    inner: int


def in_order(function: Callable[[T], R], items: Iterable[T], threads: Threads) -> Generator[R]:
    """`function` of every item, in the order of the items; few results wait at any time."""
    with torch_threads(threads.inner):
        if threads.workers == 1:
            yield from map(function, items)
            return
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(_pool(threads.workers).submit(function, item))
                if len(waiting) > 2 * threads.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch's own operations run on `count` threads (its idle helpers would spin and slow down our workers).

    And in the dtype they are given: by default torch rounds the float32 inputs of a convolution on an accelerator to
    ten bits (TF32), which changes gradients at the images by 3 % (ConvNet) to 19 % (VGG11).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        cudnn = torch.backends.cudnn
        with cudnn.flags(enabled=True, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def library_threads(count: int) -> Iterator[None]:
    """numpy's, scipy's and scikit-learn's own operations, called in here by this thread, give the same bits on any
    number of threads: linear algebra, whose sums depend on how it is split, runs on one, all else on `count`."""
    with threadpool_limits(limits={"blas": 1, "openmp": count}):
        yield


@lru_cache(maxsize=4)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="collabdm", initializer=_one_thread)


def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # torch settles a thread's number when it is first asked
