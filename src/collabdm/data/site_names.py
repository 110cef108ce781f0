"""The sites of a column of the data, as names of clients.

A name reaches plans, logs and terminals, and people type it; in file names it is always behind the client's number in
the plan (`rounds.contributing.contribution_name`), so that no two can meet there. A value that is no such name is
refused here, where column and row are known.
"""

import unicodedata
import warnings
from collections.abc import Iterable

import numpy as np

from collabdm.errors import DataError, DataWarning, explain, printable

__all__ = ["site_names", "tell_alike"]

_LONGEST = 200
# What programs write for a value that is not there; case does not matter.
_NOTHING = ("", "nan", "nat", "none", "null", "<na>")
_ROWS = 5


def site_names(values: np.ndarray, *, column: str, missing: str | None = None) -> np.ndarray:
    """The site of each row as text [n], without blanks round it; names made by this function stay as they are.

    `missing`: the site of rows that have none (empty, None, NaN). What is changed is told in a `DataWarning`.

    Raises:
        DataError: rows without a site, and no `missing`; or a name that is too long, or has line ends or other
            characters that do not show. The value, the column and the first rows are named.
    """
    raw = [str(value) for value in _decoded(values, column)]
    names = np.array([text.strip() for text in raw], dtype=object)
    nothing = np.array([name.casefold() in _NOTHING for name in names], dtype=bool)
    if nothing.any():
        if missing is None:
            words = ", ".join(sorted({repr(text) for text in names[nothing]}))
            got = f"no site ({words}) in {_rows(nothing)}"
            fix = "fill them or drop these rows, or name the client that gets them: --set partition.missing=unknown"
            raise DataError(explain(f"column {column}", got=got, expected="a site in every row", fix=fix))
        names[nothing] = missing
    for name in sorted(set(names.tolist())):
        if len(name) > _LONGEST or printable(name) != name:
            long = len(name) > _LONGEST
            shown = f"'{name[:40]}...' of {len(name)} characters" if long else ascii(name)
            expected = f"the name of a site: at most {_LONGEST} characters, all of which show, on one line"
            fix = f"{'shorten' if long else 'rewrite'} it in the column, the same in every row of that site"
            raise DataError(
                explain(f"column {column}", got=f"{shown} in {_rows(names == name)}", expected=expected, fix=fix)
            )
    trimmed = sum(text != text.strip() for text, none in zip(raw, nothing, strict=True) if not none)
    if trimmed:
        warnings.warn(DataWarning(f"column {column}: blanks taken away round the site in {trimmed} rows"), stacklevel=2)
    return names.astype(str)


def tell_alike(names: Iterable[str], *, column: str) -> None:
    """Tell, in a `DataWarning`, which sites are written alike: they stay apart."""
    alike: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        bare = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        alike.setdefault(bare, []).append(name)
    groups = [" and ".join(map(repr, group)) for group in alike.values() if len(group) > 1]
    if groups:
        more = f" (and {len(groups) - _ROWS} more such)" if len(groups) > _ROWS else ""
        told = f"{'; '.join(groups[:_ROWS])}{more}: each is a client of its own; write them alike if they are one site"
        warnings.warn(DataWarning(f"column {column} has {told}"), stacklevel=2)


def _decoded(values: np.ndarray, column: str) -> np.ndarray:
    """Bytes as text; anything else as it is."""
    if values.dtype.kind != "S":
        return values
    try:
        return np.char.decode(values, "utf-8")
    except UnicodeDecodeError as error:
        got, fix = f"bytes that are not UTF-8 ({error.object[:40]!r})", "store the column as text"
        raise DataError(explain(f"column {column}", got=got, expected="text, or bytes in UTF-8", fix=fix)) from None


def _rows(chosen: np.ndarray) -> str:
    found = np.flatnonzero(chosen).tolist()
    more = ", ..." if len(found) > _ROWS else ""
    return f"{len(found)} of {len(chosen)} rows ({', '.join(map(str, found[:_ROWS]))}{more}, counted from 0)"
