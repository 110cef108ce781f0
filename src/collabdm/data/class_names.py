"""Names of classes as people read them: which two look the same, and which differ in their spelling only."""

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from collabdm.errors import DataError, DataWarning, explain, shows

__all__ = [
    "check_class_names",
    "look_of",
    "same_look",
    "spelled_as",
    "tell_kept_apart",
    "tell_spelling",
    "unreadable",
    "written_alike",
]

# Between letters, and never seen: a joiner, a non-joiner, a break without a space, a joiner of words.
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060"))


def check_class_names(source: str, names: Iterable[str]) -> None:
    """Raise `DataError` for the first name that no plan would take, where the data are read; `source` says whose."""
    for name in names:
        wanted = unreadable(name)
        if wanted:
            fix = "rename that class in the data (of folders with names in an older encoding: convmv -f latin1 -t utf8)"
            raise DataError(explain(f"class name of {source}", got=repr(name)[:80], expected=wanted, fix=fix))


def unreadable(name: str) -> str | None:
    """What a name should be instead, where it cannot be shown to people as it is; else None."""
    hidden = next((character for character in name if not shows(character)), None)
    if hidden is not None:
        known = "a byte that is not UTF-8" if unicodedata.category(hidden) == "Cs" else "a control character"
        return f"a printable name, without U+{ord(hidden):04X} ({unicodedata.name(hidden, known)})"
    return None if look_of(name).strip() else "a name that is not blank"


def look_of(name: str) -> str:
    """The name as it is seen: accents composed (macOS writes them apart), spaces of one width, no unseen joiners."""
    shown = unicodedata.normalize("NFC", name.translate(_UNSEEN))
    return "".join(" " if unicodedata.category(character) == "Zs" else character for character in shown)


def same_look(names: Sequence[str]) -> tuple[str, str] | None:
    """The first two distinct names that look the same, if there are any."""
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(look_of(name), name)
        if first != name:
            return first, name
    return None


def spelled_as(names: Iterable[str], known: Sequence[str]) -> dict[str, str]:
    """Of the `names` that are not among the `known`, those that one of these differs from in its spelling only.

    That is: they look the same, or one has capitals where the other has small letters, or spaces more or less at its
    ends. A name with two such counterparts has none, none may be that of two names, nor of a name that is there itself.
    """
    names = list(dict.fromkeys(names))
    exact = set(known)
    unknown = [name for name in names if name not in exact]
    found: dict[str, str] = {}
    for spelling in (look_of, _folded) if unknown else ():
        by_spelling: dict[str, list[str]] = {}
        for name in known:
            by_spelling.setdefault(spelling(name), []).append(name)
        options = {name: by_spelling.get(spelling(name), []) for name in unknown if name not in found}
        meant = {name: one[0] for name, one in options.items() if len(one) == 1}
        times, taken = Counter(meant.values()), {*names, *found.values()}
        found |= {name: one for name, one in meant.items() if times[one] == 1 and one not in taken}
    return found


def tell_spelling(source: str, meant: dict[str, str]) -> None:
    """Warn in one line of names that are taken for others, if there are any."""
    changed = {name: known for name, known in meant.items() if look_of(name) != look_of(known)}
    if changed:
        pairs = ", ".join(f"{name} for {known}" for name, known in list(changed.items())[:12])
        more = f" and {len(changed) - 12} more" if len(changed) > 12 else ""
        warnings.warn(
            DataWarning(
                f"{source}: classes that differ in capitals or outer spaces only are taken for one: {pairs}{more}"
            ),
            stacklevel=3,
        )


def written_alike(counts: Mapping[str, int]) -> list[str]:
    """Of names, by how many samples each has, those that a person may mean for one, as `Yes (12), yes (3)`: they differ
    in capitals, in blanks, `-` and `_`, or are one number in two forms (1 and 1.0)."""
    groups: dict[str, list[str]] = {}
    for name in counts:
        groups.setdefault(_meant(name), []).append(name)
    return [", ".join(f"{name} ({counts[name]})" for name in sorted(own)) for own in groups.values() if len(own) > 1]


def tell_kept_apart(source: str, counts: Mapping[str, int]) -> None:
    """Warn in one line of classes, by how many samples each has, that may be meant for one and are kept apart."""
    if alike := written_alike(counts):
        more = f" and {len(alike) - 12} more" if len(alike) > 12 else ""
        told = f"classes that differ in their spelling only are kept apart: {'; '.join(alike[:12])}{more}"
        warnings.warn(DataWarning(f"{source}: {told}; write them alike where they are one"), stacklevel=3)


def _meant(name: str) -> str:
    """What a name has in common with others that may mean the same."""
    try:
        return str(float(name))
    except ValueError:
        return re.sub(r"(?<=[^\W_])[\s_-]+(?=[^\W_])", " ", _folded(name))


def _folded(name: str) -> str:
    return look_of(look_of(name).casefold()).strip()
