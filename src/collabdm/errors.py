"""Everything that can go wrong for a user, in one tree.

A message is one line that says what was got, what was expected and how to fix it. The command line prints it and
exits with the error's `exit_code`; nothing is half-written.
"""

import difflib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = [
    "ClassifierError",
    "CollabDMError",
    "ConfigError",
    "ContributionError",
    "DataError",
    "DataWarning",
    "DistilledSetError",
    "FolderBusyError",
    "Interrupted",
    "PlanError",
    "QuorumError",
    "RenamedWarning",
    "RunFolderError",
    "WorkerError",
    "as_json",
    "did_you_mean",
    "explain",
    "got_in",
    "markdown_text",
    "nearest_name",
    "printable",
    "shows",
    "told",
    "unknown_name",
]


class CollabDMError(Exception):
    """The root: catch this to catch every error that CollabDM raises on purpose."""

    exit_code = 2


class ConfigError(CollabDMError):
    """A setting is unknown, out of range, or contradicts another."""


class DataError(CollabDMError):
    """The operator's data cannot be used."""


class PlanError(CollabDMError):
    """A plan is malformed or of another version."""


class ContributionError(CollabDMError):
    """A client's contribution is refused."""


class DistilledSetError(CollabDMError):
    """A distilled set cannot be read or written."""


class ClassifierError(CollabDMError):
    """A trained classifier cannot be read, or was made for other images."""


class RunFolderError(CollabDMError):
    """A run folder exists already, or cannot be resumed."""


class FolderBusyError(RunFolderError):
    """Another process is at work in a run folder."""


class QuorumError(CollabDMError):
    """Too few usable contributions arrived."""

    exit_code = 3


class Interrupted(CollabDMError):
    """Ctrl-C, where more can be said than that a run goes on."""

    exit_code = 130


class WorkerError(CollabDMError):
    """A process that shared the work died before it was done."""


class RenamedWarning(UserWarning):
    """A setting or a key of a plan is given under a name that it no longer has; it is read all the same."""


class DataWarning(UserWarning):
    """Something in the data was passed over, or read otherwise than it is written; the data are read all the same."""


# Of what was got, at most so many characters are told: a stranger's number may have thousands of digits.
_MOST_TOLD = 500
# Of names that would do, at most so many are told: a plan may have thousands of clients.
_MOST_NAMES = 50


def explain(what: str, *, got: object, expected: str, fix: str) -> str:
    """One line for a user: `what: got ...; expected ...; fix: ...`.

    What was got may come from a stranger's file, so nothing in it reaches a terminal as a control character, and the
    end of what is long is left out.
    """
    told = str(got)
    if len(told) > _MOST_TOLD:
        told = f"{told[:_MOST_TOLD]} (and {len(told) - _MOST_TOLD} more characters)"
    return printable(" ".join(f"{what}: got {told}; expected {expected}; fix: {fix}".split()))


def unknown_name(what: str, got: object, known: Iterable[str]) -> str:
    """`explain` of a name that is none of the `known`: all of these, and the one that was meant, where one is near."""
    names, told = list(known), str(got)[:80]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    listed = f"one of {', '.join(names[:_MOST_NAMES]) or 'none'}{more}"
    return explain(what, got=told, expected=listed, fix=did_you_mean(told, names, "choose one of them"))


def did_you_mean(got: object, known: Iterable[str], otherwise: str) -> str:
    """How to mend a name that is none of the `known`: the one that is near, or what helps `otherwise`."""
    near = nearest_name(str(got), known)
    return otherwise if near is None else f"did you mean {near}?"


def nearest_name(got: str, known: Iterable[str]) -> str | None:
    """The known name that somebody who wrote `got` may have meant."""
    names = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(got[:80].strip().casefold(), names, 1, 0.66)
    return names[near[0]] if near else None


# What a kind of pydantic's errors expects, in words that need no Python; in braces what it tells of its limits.
_EXPECTED = {
    "extra_forbidden": "no such key",
    "missing": "a value for this key",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys with values, not a single value",
    "mapping_type": "keys with values, not a single value",
    "model_type": "keys with values, not a single value",
    "model_attributes_type": "keys with values, not a single value",
}


def told(error: Mapping[str, Any]) -> str:
    """What one of pydantic's errors (`ValidationError.errors()`) expects, without words that only pydantic needs."""
    if error["type"] in _EXPECTED:
        return _EXPECTED[error["type"]].format_map(error.get("ctx", {}))
    message = re.sub(r"^(Value error, |Input should be |\w+ should have )", "", str(error["msg"]))
    return message.replace(" after validation, not ", ", not ")


def got_in(error: Mapping[str, Any], shown: Callable[[Any], str] = repr) -> str:
    """What one of pydantic's errors got: of a key that is missing nothing, and not all that stands around it."""
    return "nothing" if error["type"] == "missing" else shown(error.get("input"))[:80]


def as_json(value: object, most: int = 40) -> str:
    """A stranger's value as JSON, which shows whether it is a number or a text; at most so many characters of it."""
    try:
        return json.dumps(value)[:most]
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"


def printable(text: str) -> str:
    """The text without control characters: it may come from a stranger's file, and go to a terminal."""
    return "".join(character if shows(character) else "?" for character in text)


# Between letters of Persian, Hindi, Thai and Khmer, and within emoji; the tags that make a flag of an emoji.
_JOINERS = frozenset("\u200b\u200c\u200d\u2060") | frozenset(map(chr, range(0xE0020, 0xE0080)))
# Signs before Arabic, Syriac and Kaithi numbers, which are seen.
_SIGNS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")


def shows(character: str) -> bool:
    """Whether a character only shows itself: it moves, hides or reverses nothing around it on a terminal.

    So are letters of every script with what joins them, spaces of every width, and emoji, also those younger than this
    Python; controls, line ends, marks of direction and soft hyphens are not.
    """
    if character.isprintable() or character in _JOINERS or character in _SIGNS:
        return True
    return unicodedata.category(character) == "Zs" or 0x1F000 <= ord(character) < 0x1FC00


def markdown_text(text: str) -> str:
    """A stranger's text as only text in Markdown: one line, no markup, no table break."""
    line = " ".join("".join(c if shows(c) else " " for c in text).split())
    return "".join(f"\\{c}" if c in r"\`*_[]<>|#" else c for c in line)
