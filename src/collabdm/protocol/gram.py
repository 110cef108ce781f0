"""How the second-order statistic travels: class means, and the scatter as a triangular root in whole numbers, deflated.

A covariance rounded entry by entry keeps no small eigenvalue, and a ridge classifier lives on these. Its root R (upper
triangular, scatter = R^T R) has half the digits to keep: rounding changes the root of an eigenvalue, so eight bits of
the root do what twelve to sixteen of the matrix would. Most entries are far below the largest of their column, so
Huffman codes take four and a half bits of the eight. Whatever a stranger sends as R, R^T R is a covariance.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from collabdm.checking import Checker, rounded
from collabdm.errors import ContributionError, explain
from collabdm.matching.gram import FeatureMoments
from collabdm.protocol.deflating import deflated, inflated, most_deflated

__all__ = ["GRAM_TENSORS", "MOST_FEATURES", "GramBits", "decode_gram", "encode_gram", "gram_bytes"]

GramBits = Annotated[int, Field(ge=4, le=16)]
"""Bits of one number of the root, before it is deflated."""

MOST_FEATURES = 8192
"""Of a feature map: a site and its server hold the square of as many numbers several times, 0.5 GB each."""

GRAM_TENSORS = frozenset({"gram.means", "gram.scale", "gram.step", "gram.root"})

# Of the variance of a feature: what is added to the diagonal where there are fewer samples than features.
_LEAST = 1e-7

_F4, _F2 = np.dtype(np.float32), np.dtype(np.float16)


def encode_gram(moments: FeatureMoments, bits: int) -> dict[str, np.ndarray]:
    """The tensors `GRAM_TENSORS` of what one site sends.

    `gram.means`: float16 [held classes, d]; `gram.scale`: float32 [d], the standard deviation of every feature within
    classes; `gram.step`: float32 [d], what one unit in a column of the root stands for; `gram.root`: uint8, the upper
    triangle of the root of the correlation matrix, row by row, in whole numbers from -(2^(bits-1) - 1) to as much,
    written 0, 1, 2, 3, ... for 0, -1, 1, -2, ...: their low bytes, then where `bits` is above 8 their high bytes, as
    one deflate stream.
    Raises `ContributionError` for NaN or infinity: what is not finite has no root.
    """
    if not all(np.isfinite(part).all() for part in (moments.means, moments.scatter)):
        fix = "contribute again, to a plan with other features"
        raise ContributionError(explain("gram", got="NaN or infinity", expected="finite numbers", fix=fix))
    scatter = moments.scatter.astype(np.float64)
    scale = np.sqrt(np.maximum(np.diagonal(scatter), 0.0)).astype(np.float32)
    divisor = np.where(scale > 0, scale, 1.0).astype(np.float64)
    root = _root(scatter / divisor[:, None] / divisor)
    levels = 2 ** (bits - 1) - 1
    step = (np.abs(root).max(axis=0, initial=0.0) / levels).astype(np.float32)
    whole = np.rint(root / np.where(step > 0, step, 1.0)).clip(-levels, levels).astype(np.int16)
    return {
        "gram.means": rounded(moments.means, _F2),
        "gram.scale": scale,
        "gram.step": step,
        "gram.root": _deflated(whole[np.triu_indices(len(whole))], bits),
    }


def decode_gram(
    tensors: Mapping[str, np.ndarray], groups: int, features: int, bits: int, check: Checker
) -> FeatureMoments:
    """What `encode_gram` was given, from a stranger's tensors; `check` refuses what cannot be."""
    levels, size = 2 ** (bits - 1) - 1, features * (features + 1) // 2
    means = check.floats(tensors["gram.means"], "gram.means", (groups, features), _F2)
    scale = check.floats(tensors["gram.scale"], "gram.scale", (features,), _F4, least=0.0)
    step = check.floats(tensors["gram.step"], "gram.step", (features,), _F4, least=0.0, most=1.0)
    whole = _inflated(tensors["gram.root"], size, bits, check)
    check.that(bool((np.abs(whole) <= levels).all()), "larger numbers in gram.root", f"-{levels} to {levels}")
    root = np.zeros((features, features))
    root[np.triu_indices(features)] = whole
    root *= step
    correlation = root.T @ root
    # The diagonal came as it is, and is 1 for whatever varies.
    length = np.sqrt(np.diagonal(correlation))
    factor = np.divide(scale, length, out=np.zeros(features), where=length > 0)
    return FeatureMoments(means=means, scatter=(correlation * factor[:, None] * factor).astype(np.float32))


def gram_bytes(classes: int, features: int, bits: int) -> int:
    """The most bytes of the tensors of a site that holds so many classes."""
    root = most_deflated(features * (features + 1) // 2 * _planes(bits))
    return 2 * classes * features + 8 * features + root


def _root(correlation: np.ndarray) -> np.ndarray:
    """R, upper triangular, with R^T R = `correlation` [d, d], positive semidefinite, up to a small diagonal."""
    added = _LEAST
    while True:
        try:
            return np.linalg.cholesky(correlation + added * np.eye(len(correlation))).T
        except np.linalg.LinAlgError:  # sums of float32 products may be off by more
            added *= 10


def _planes(bits: int) -> int:
    return 1 if bits <= 8 else 2


def _deflated(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Whole numbers, int16 [n], byte plane by byte plane: 0, -1, 1, -2, ... as 0, 1, 2, 3, so that high bytes are 0."""
    folded = ((numbers << 1) ^ (numbers >> 15)).astype("<u2")
    return deflated(folded.view(np.uint8).reshape(-1, 2)[:, : _planes(bits)].T)


def _inflated(packed: np.ndarray, count: int, bits: int, check: Checker) -> np.ndarray:
    """The `count` numbers again, int32."""
    planes = inflated(packed, "gram.root", count * _planes(bits), check).reshape(_planes(bits), count)
    folded = np.zeros(count, np.int32)
    for place, plane in enumerate(planes):
        folded |= plane.astype(np.int32) << (8 * place)
    return (folded >> 1) ^ -(folded & 1)
