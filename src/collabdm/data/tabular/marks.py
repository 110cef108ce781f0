"""What tables write for a value that is not there."""

__all__ = ["of_no_class", "of_no_number", "stands_for_nothing"]

# What pandas takes for missing, what databases, Zeek, R, and spreadsheets write; case does not matter.
_NOTHING = frozenset(
    (
        *("", "na", "n/a", "n.a.", "<na>", "nan", "-nan", "+nan", "nat", "none", "null", "?", "??", "\\n", "missing"),
        *("(na)", "(n/a)", "(nan)", "(none)", "(null)", "(empty)", "(missing)", "(blank)", "(unset)", "(not set)"),
        *("<null>", "<none>", "<empty>", "<missing>", "<unset>", "[null]", "[none]", "[empty]", "[missing]"),
        *("#n/a", "#n/a n/a", "#na", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!"),
        *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    )
)

# Missing among numbers (SAS and Stata write a dot, the World Bank two), and a level among texts.
_DASHES = frozenset(("-", "--", "---", "\u2013", "\u2014", ".", ".."))
_WORDS = frozenset(("unknown", "undefined", "undef", "unset", "nil", "not available", "not applicable", "no data"))


def stands_for_nothing(text: str) -> bool:
    """Whether a cell with this text, without blanks round it, is read as a missing value in any column."""
    return text.casefold() in _NOTHING


def of_no_number(text: str) -> bool:
    """Whether it stands for a missing value in a column of numbers."""
    return text in _DASHES or text.casefold() in _WORDS or stands_for_nothing(text)


def of_no_class(text: str) -> bool:
    """Whether it stands for a missing label."""
    return text in _DASHES or stands_for_nothing(text)
