"""Everything that can go wrong for a user, in one tree.

A message is one line that says what was got, what was expected and how to fix it. The command line prints it and
exits with the error's `exit_code`; nothing is half-written.
"""

__all__ = [
    "ClassifierError",
    "CollabDMError",
    "ConfigError",
    "ContributionError",
    "DataError",
    "DistilledSetError",
    "PlanError",
    "QuorumError",
    "RunFolderError",
    "explain",
    "printable",
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


class QuorumError(CollabDMError):
    """Too few usable contributions arrived."""

    exit_code = 3


# Of what was got, at most so many characters are told: a stranger's number may have thousands of digits.
_MOST_TOLD = 500


def explain(what: str, *, got: object, expected: str, fix: str) -> str:
    """One line for a user: `what: got ...; expected ...; fix: ...`.

    What was got may come from a stranger's file, so nothing in it reaches a terminal as a control character, and the
    end of what is long is left out.
    """
    told = str(got)
    if len(told) > _MOST_TOLD:
        told = f"{told[:_MOST_TOLD]} (and {len(told) - _MOST_TOLD} more characters)"
    return printable(" ".join(f"{what}: got {told}; expected {expected}; fix: {fix}".split()))


def printable(text: str) -> str:
    """The text without control characters: it may come from a stranger's file, and go to a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
