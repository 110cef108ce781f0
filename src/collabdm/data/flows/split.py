"""Which windows are for testing: whole blocks of consecutive flows, so that hardly any neighbours are parted.

Flows next to each other are often of one session, one burst of a tool. Were windows dealt to the two sides one by one,
every test window would have its like among the training windows. So each stream (the flows of which windows are cut,
see `windows`) is first cut into ten blocks of consecutive flows, two of which are for testing at a share of 0.2: the
third and the eighth. Blocks end where windows end, so the split parts no window and loses none.
"""

import numpy as np

from collabdm.errors import ConfigError, explain

__all__ = ["BLOCKS", "tested"]

BLOCKS = 10


def tested(windows: int, share: float) -> np.ndarray:
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
