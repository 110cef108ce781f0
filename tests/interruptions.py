"""Pulling the plug after a checkpoint was written, and finding out whether the work goes on from there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from collabdm.storage import checkpoints
from collabdm.storage.checkpoints import Checkpoint

T = TypeVar("T")


class Killed(BaseException):
    """Nothing in the code under test may catch it."""


@contextmanager
def killed_after(writes: int | None) -> Iterator[list[int]]:
    """Every state is written, and the one with the number `writes` (from 1) is the last; yields how many were."""
    written, keep = [0], Checkpoint.keep

    def counted(self: Checkpoint, state: Callable[[], Any]) -> None:
        keep(self, state)
        if self._path is not None:
            written[0] += 1
            if written[0] == writes:
                raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
        patch.setattr(Checkpoint, "keep", counted)
        yield written


def assert_goes_on(work: Callable[[Path], T], folder: Path, same: Callable[[T, T], bool], kills: list[int]) -> None:
    """`work` in a folder, killed after so many states each time in a row, ends as it does without, and repeats nothing
    that was kept."""
    with killed_after(None) as all_written:
        whole = work(folder / "whole")
    for stop in kills:
        with killed_after(stop), pytest.raises(Killed):
            work(folder / "killed")
    with killed_after(None) as left:
        found = work(folder / "killed")
    assert left[0] + sum(kills) == all_written[0]
    assert same(found, whole)
