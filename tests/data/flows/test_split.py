import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.data.flows import split
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


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), max_size=300), st.integers(1, 5))
def test_each_stations_flows_of_a_type_are_split_at_whole_windows(flows: list[tuple[int, int]], size: int) -> None:
    stations, types = np.array(flows, np.int64).reshape(-1, 2).T
    side = split.test_side(stations, types, size=size, share=0.2)
    for key in set(flows):
        stream = [row for row, flow in enumerate(flows) if flow == key]
        windows = for_testing(len(stream) // size, 0.2).tolist()
        expected = [windows[k // size] if k // size < len(windows) else False for k in range(len(stream))]
        assert side[stream].tolist() == expected


@pytest.mark.parametrize("share", [-0.1, 0.6, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="--test"):
        for_testing(10, share)
