"""Small whole numbers as Huffman codes: what a quantised statistic takes once the frequent values are short.

Besides Huffman codes only runs of one byte are searched for (zlib's strategy): noise repeats nothing, but high bytes
may all be 0.
"""

import zlib

import numpy as np

from collabdm.checking import Checker

__all__ = ["deflated", "inflated", "most_deflated"]


def deflated(numbers: np.ndarray) -> np.ndarray:
    """The memory of an array of bytes, in C order, as one zlib stream: uint8."""
    packer = zlib.compressobj(9, strategy=zlib.Z_RLE)
    return np.frombuffer(packer.compress(np.ascontiguousarray(numbers).data) + packer.flush(), np.uint8)


def inflated(packed: np.ndarray, name: str, size: int, check: Checker) -> np.ndarray:
    """The `size` bytes again, uint8, from a stranger's stream; never more are made."""
    check.form(packed, name, (packed.size,), np.dtype(np.uint8))
    opener = zlib.decompressobj()
    try:
        content = opener.decompress(packed.tobytes(), size + 1)
    except zlib.error:
        raise check.error(f"{name} that is no deflate stream", "what collabdm contribute wrote") from None
    whole = len(content) == size and opener.eof and not opener.unused_data
    check.that(whole, f"{name} of another length", f"{size} bytes once it is inflated")
    return np.frombuffer(content, np.uint8)


def most_deflated(size: int) -> int:
    """The most bytes that `deflated` makes of `size`: what has no frequent values grows a little."""
    return size + size // 1000 + 64
