import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.data.flows.split import BLOCKS, for_testing
from collabdm.errors import ConfigError


@given(st.integers(0, 3000), st.floats(0, 0.5))
def test_whole_blocks_are_for_testing_and_few_neighbours_are_parted(windows: int, share: float) -> None:
    side = for_testing(windows, share)
    assert side.shape == (windows,)
    blocks = min(BLOCKS, windows)
    chosen = round(blocks * share)
    # Blocks differ by a window at most, and every block on the test side parts two pairs of neighbours.
    assert abs(int(side.sum()) - chosen * windows / max(blocks, 1)) <= chosen
    assert np.count_nonzero(np.diff(side)) <= 2 * chosen
    assert not side.all() or windows == 0


def test_a_fifth_of_a_long_stream_is_its_third_and_eighth_tenth() -> None:
    assert np.flatnonzero(for_testing(100, 0.2)).tolist() == [*range(20, 30), *range(70, 80)]
    assert np.flatnonzero(for_testing(6, 0.2)).tolist() == [3]
    assert not for_testing(2, 0.2).any()


@pytest.mark.parametrize("share", [-0.1, 0.6, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="--test"):
        for_testing(10, share)
