"""The mark of a stage is what it held, and no more than it held."""

import sys

import numpy as np
import pytest

from collabdm.memory import begin_stage, highest, merged, with_total


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the mark cannot be lowered")
def test_a_stage_has_its_own_mark() -> None:
    begin_stage()
    before = highest()
    held = np.ones(40_000_000)  # 320 MB
    assert 300 < highest() - before < 400
    del held
    # It stays until another stage begins.
    assert highest() - before > 300
    begin_stage()
    assert highest() - before < 100


def test_the_largest_of_each_stage() -> None:
    assert merged({"a": 1.0, "b": 5.0}, {}, {"a": 3.0}) == {"a": 3.0, "b": 5.0}
    assert with_total({"a": 1.26, "b": 5.0, "unknown": 0.0}) == {"a": 1.3, "b": 5.0, "total": 5.0}
    assert with_total({}) == {}
