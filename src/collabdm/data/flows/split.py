"""Which flows are for testing: whole blocks of consecutive flows, so that hardly any neighbours are parted.

Flows next to each other are often of one session, one burst of a tool. Were windows dealt to the two sides one by one,
every test window would have its like among the training windows. So the flows of each station and type are first cut
into ten blocks of consecutive flows, two of which are for testing at a share of 0.2: the third and the eighth. Windows
are then made on each side alone. It is types, not stations, that are cut: a capture often has an attack in one stretch
only, which would else be all on one side. Blocks end where pure windows end, so the split loses none of them; and since
it does not depend on the kind of window, what was trained on pure windows can be tested on mixed ones.
"""

import numpy as np

from collabdm.errors import ConfigError, explain

__all__ = ["BLOCKS", "for_testing", "test_side"]

BLOCKS = 10


def test_side(stations: np.ndarray, types: np.ndarray, *, size: int, share: float) -> np.ndarray:
    """For each flow in the file's order, whether it is for testing, bool [n]; `size` flows make a window.

    What is left of a station's flows of one type after its last whole window is for training.
    """
    side = np.zeros(len(types), bool)
    keys = stations << 16 | types
    for key in np.unique(keys):
        rows = np.flatnonzero(keys == key)
        chosen = np.repeat(for_testing(len(rows) // size, share), size)
        side[rows[: len(chosen)]] = chosen
    return side


def for_testing(windows: int, share: float) -> np.ndarray:
    """For each of a stream's windows in order, whether it is for testing, bool [windows].

    A stream of fewer than ten windows has as many blocks as windows; one too short to round to a block has no test
    windows. Raises `ConfigError` for a share outside 0 to 0.5.
    """
    if not 0 <= share <= 0.5:
        raise ConfigError(explain("--test", got=share, expected="0 to 0.5", fix="use 0.2 for a fifth"))
    blocks = min(BLOCKS, windows)
    chosen = round(blocks * share)
    # In the middle of equal stretches: never the first or the last block of a long stream.
    places = [int((number + 0.5) * blocks / chosen) for number in range(chosen)]
    edges = np.rint(np.arange(blocks + 1) * (windows / max(blocks, 1))).astype(np.int64)
    return np.repeat(np.isin(np.arange(blocks), places), np.diff(edges))
