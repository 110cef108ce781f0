"""Which words name a part of a data set, and which part stands in for a missing one."""

import re
from collections.abc import Callable, Iterable

from collabdm.errors import DataError, explain

__all__ = ["part_named", "parts_called", "split_of"]

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_KINDS = {"train": ("train",), "test": ("test", "validation")}


def split_of(name: str) -> str | None:
    """`train`, `validation` or `test`, which a name holds a word for: one, and no word for another."""
    found = {_SPLITS[word] for word in re.split(r"[\W\d_]+", name.casefold()) if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def parts_called(split: str, names: Iterable[str]) -> list[str]:
    """The parts that can be `split` (`train` or `test`), best first; for `test` validation stands in.

    Of each kind it is the one of exactly that name, else the one with a word for it; there may be several.
    """
    names = list(names)
    chosen: list[str] = []
    for kind in _KINDS[split]:
        chosen += [kind] if kind in names else [name for name in names if split_of(name) == kind]
    return chosen


def part_named(source: str, split: str, names: Iterable[str], usable: Callable[[str], bool]) -> str:
    """The part that is `split`. Of several, the first that is `usable` (one with labels), else the last.

    Raises:
        DataError: there is none, or two of one kind.
    """
    names = list(names)
    found = parts_called(split, names)
    if not found:
        known = ", ".join(names) or "none"
        fix = f"add a {split} part, for example a file {split}.parquet or a folder {split}/"
        raise DataError(explain(f"splits of {source}", got=known, expected=split, fix=fix))
    chosen = next((name for name in found[:-1] if usable(name)), found[-1])
    rivals = [name for name in found if split_of(name) == split_of(chosen)]
    if chosen not in _SPLITS.values() and len(rivals) > 1:
        expected, fix = f"one part for {split}", f"call the part to use {split}, or keep only that"
        raise DataError(explain(f"splits of {source}", got=", ".join(rivals), expected=expected, fix=fix))
    return chosen
