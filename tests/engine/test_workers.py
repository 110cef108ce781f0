"""Work on several threads comes back in order, whatever happens."""

import threading
import time

import pytest
import torch

from collabdm.engine.workers import Threads, in_order, torch_threads


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.02 if i == 0 else 0.0)
        return i * i

    assert list(in_order(slow_first, range(20), Threads(workers, 1))) == [i * i for i in range(20)]


def test_items_are_taken_as_results_leave() -> None:
    taken: list[int] = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    results = in_order(lambda i: i, items(), Threads(2, 1))
    assert next(results) == 0
    assert len(taken) <= 5
    results.close()
    assert len(taken) <= 5


def test_workers_run_torch_on_one_thread_and_the_caller_gets_its_own_back() -> None:
    with torch_threads(2):
        seen = set(in_order(lambda _: (threading.get_ident(), torch.get_num_threads()), range(8), Threads(2, 1)))
        assert {threads for _, threads in seen} == {1}
        assert threading.get_ident() not in {ident for ident, _ in seen}
        assert torch.get_num_threads() == 2
        assert list(in_order(lambda _: torch.get_num_threads(), range(1), Threads(1, 3))) == [3]
        assert torch.get_num_threads() == 2


def test_convolutions_in_float32_are_not_rounded_to_tf32() -> None:
    before = torch.backends.cudnn.allow_tf32
    assert list(in_order(lambda _: torch.backends.cudnn.allow_tf32, range(1), Threads(1, 1))) == [False]
    with torch_threads(1):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before


def test_an_error_reaches_the_caller() -> None:
    def fail(i: int) -> int:
        if i == 3:
            raise ValueError("three")
        return i

    with pytest.raises(ValueError, match="three"):
        list(in_order(fail, range(50), Threads(2, 1)))
