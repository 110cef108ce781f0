"""What stands between a site's sums and what leaves it: nothing yet, and that is said here."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collabdm.matching.statistic import MEAN, MOMENTS, Statistic
from collabdm.matching.sums import Sums
from collabdm.privacy import release
from collabdm.randomness import Stream


@given(
    drawn=st.dictionaries(st.integers(0, 9), st.integers(1, 600), min_size=1, max_size=4),
    seeds=st.sets(st.integers(0, 50), max_size=3),
    statistic=st.sampled_from([MEAN, MOMENTS]),
)
def test_sums_leave_as_they_are(drawn: dict[int, int], seeds: set[int], statistic: Statistic) -> None:
    values = Stream(1, "sums").uniform((len(seeds), len(drawn), len(statistic.terms), 5), -9, 9)
    sums = Sums(terms=statistic.terms, seeds=tuple(sorted(seeds)), drawn=drawn, values=values.copy())
    released = release(sums)
    assert released.terms == statistic.terms
    assert released.seeds == tuple(sorted(seeds))
    assert dict(released.drawn) == drawn
    assert released.classes == tuple(sorted(drawn))
    assert released.values.dtype == np.float64
    assert np.array_equal(released.values, values)
