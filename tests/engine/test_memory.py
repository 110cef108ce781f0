"""The mark of a stage is what it held, and no more than it held."""

import subprocess
import sys

import pytest

from collabdm.engine.memory import merged, with_total

# A process of its own: in one that has run for a while, the allocator may hand out memory that it kept.
PROGRAM = """
import numpy as np
from collabdm.engine.memory import begin_stage, highest
begin_stage()
before = highest()
held = np.ones(40_000_000)  # 320 MB
during = highest() - before
del held
after = highest() - before
begin_stage()
print(during, after, highest() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the mark cannot be lowered")
def test_a_stage_has_its_own_mark() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    during, after, next_stage = map(float, told.split())
    assert 300 < during < 400
    # It stays until another stage begins.
    assert after > 300
    assert next_stage < 100


def test_the_largest_of_each_stage() -> None:
    assert merged({"a": 1.0, "b": 5.0}, {}, {"a": 3.0}) == {"a": 3.0, "b": 5.0}
    assert with_total({"a": 1.26, "b": 5.0, "unknown": 0.0}) == {"a": 1.3, "b": 5.0, "total": 5.0}
    assert with_total({}) == {}
