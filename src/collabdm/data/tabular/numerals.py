"""Numbers as people write them in the cells of a column: thousands, decimal commas, percent, sums of money."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from collabdm.data.tabular.marks import of_no_number

__all__ = ["Numbers", "how_written", "numbers_in", "unit_of"]

# Capitals, but for the commonest: eth0 and php7 are no sums of money.
_CODES = "USD|usd|EUR|Eur|eur|GBP|JPY|CHF|CAD|AUD|NZD|SEK|NOK|DKK|ISK|PLN|CZK|HUF|RON|BGN|RUB|UAH|CNY|RMB|INR|KRW|BRL"
_CODES += "|MXN|ZAR|SGD|HKD|TWD|THB|IDR|MYR|VND|ILS|AED|EGP|NGN|KES|ARS|CLP|PEN"
_MONEY = rf"(?:US|A|C|NZ|HK|S|R)?\$|[€£¥₹₩₽₺₪₫₴₦₱฿₿]|kr\.?|zł|Kč|Ft|Fr\.?|(?:{_CODES})"
_CELL = re.compile(
    rf"(?P<sign>[-+\u2212]?)\s*(?P<before>{_MONEY})?\s*(?P<inner>[-+\u2212]?)\s*"
    rf"(?P<body>[\d.,][\d.,'\u2019 \u00a0\u202f\u2009]*(?:[eE][-+]?\d+)?)\s*"
    rf"(?P<after>%|\u2030|[Pp]ercent|pct\.?|{_MONEY})?"
)
_IN_BRACKETS = re.compile(r"\((.+)\)")

_SPACE = "['\u2019 \u00a0\u202f\u2009]"
_POWER = r"([eE][-+]?\d+)?"
_PLAIN = rf"(\d+\.?\d*|\.\d+){_POWER}"
# How a whole column is written, the likelier first: what parts its thousands, what its decimals.
_FORMS = {
    "": re.compile(_PLAIN),
    "commas as thousands": re.compile(rf"{_PLAIN}|[1-9]\d{{0,2}}(,\d{{2,3}})*,\d{{3}}(\.\d*)?"),
    "spaces as thousands": re.compile(rf"{_PLAIN}|[1-9]\d{{0,2}}({_SPACE}\d{{3}})+(\.\d*)?"),
    "commas as the decimal point": re.compile(rf"(\d+|[1-9]\d{{0,2}}(({_SPACE}|\.)\d{{3}})+)?(,\d+)?(?<=\d){_POWER}"),
}
_DECIMAL_COMMA = "commas as the decimal point"


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers:
    """`values`: float64 [n], NaN for missing; `wrong`: bool [n], which cells hold no number; `form`: how all of them
    are written, empty where as programs write them; `units`: how many cells have which unit (`%`, `$`, `EUR`), empty
    for none; `marks`: how many stand for a missing value by what they hold; `brackets`: how many are below 0 because
    they stand in brackets."""

    values: np.ndarray
    wrong: np.ndarray
    form: str = ""
    units: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[str, int] = field(default_factory=dict)
    brackets: int = 0

    @property
    def unit(self) -> str | None:
        """The unit that every number of the column has."""
        return next(iter(self.units), "") or None if len(self.units) == 1 else None


def numbers_in(texts: np.ndarray) -> Numbers:
    """The numbers in texts [n] with None, all read in that one form of which the fewest are none."""
    cells = Counter(text for text in texts.tolist() if text is not None)
    marks = {text: count for text, count in cells.items() if of_no_number(text)}
    parts = {text: _parts(text) for text in cells if text not in marks}
    form = _form(body for _, body, _ in parts.values())
    found = {text: _number(sign, body, form) for text, (sign, body, _) in parts.items()}
    units: Counter[str] = Counter()
    for text, (_, _, unit) in parts.items():
        if found[text] is not None:
            units[unit] += cells[text]
    wrong = {text for text, number in found.items() if number is None}
    known: dict[str | None, float] = {text: number for text, number in found.items() if number is not None}
    return Numbers(
        values=np.array([known.get(text, np.nan) for text in texts.tolist()], dtype=np.float64),
        wrong=np.array([text in wrong for text in texts.tolist()], dtype=bool),
        form=form,
        units=dict(units.most_common()),
        marks=marks,
        brackets=sum(cells[text] for text in known if text is not None and text.startswith("(")),
    )


def unit_of(text: str) -> str:
    """The unit in a cell; empty where it has none."""
    return _parts(text)[2]


def how_written(name: str, numbers: Numbers) -> str:
    """For people, what of a column's cells is read otherwise than programs write numbers; empty where nothing is."""
    said = [f"{name} is read as numbers in {numbers.unit}"] if numbers.unit else []
    if numbers.form:
        commas, how = numbers.form.split(" as ", 1)
        said.append(f"{commas} in {name} are read as {how}")
    if numbers.brackets:
        said.append(f"values of {name} in brackets ({numbers.brackets}) are read as below 0")
    return ", ".join(said)


def _parts(text: str) -> tuple[int, str, str]:
    """(sign, the number as it is written, its unit) of a cell; the cell itself where it has not the form of one."""
    bracketed = _IN_BRACKETS.fullmatch(text)
    match = _CELL.fullmatch(bracketed[1].strip() if bracketed else text)
    if match is None or (match["sign"] and match["inner"]) or (match["before"] and match["after"]):
        return 1, text, ""
    written = match["sign"] or match["inner"]
    if bracketed and written:
        return 1, text, ""
    return -1 if bracketed or written in ("-", "\u2212") else 1, match["body"].rstrip(), _spelled(match)


def _spelled(match: re.Match[str]) -> str:
    """The unit, in one spelling of those that it has."""
    unit = (match["before"] or match["after"] or "").rstrip(".")
    return "%" if unit.casefold() in ("percent", "pct") else unit.upper() if len(unit) == 3 and unit.isalpha() else unit


def _form(bodies: Iterable[str]) -> str:
    """The form in which the fewest are no numbers. Points part thousands only where a comma stands in some cell:
    addresses have them too."""
    bodies = [body for body in bodies if body[:1].isdigit() or body[:1] in (".", ",")]
    marked = [body for body in bodies if re.search(f",|{_SPACE}", body)]
    if not marked:
        return ""
    usable = [form for form in _FORMS if form != _DECIMAL_COMMA or any("," in body for body in marked)]
    return min(usable, key=lambda form: sum(_FORMS[form].fullmatch(body) is None for body in bodies))


def _number(sign: int, body: str, form: str) -> float | None:
    if form and _FORMS[form].fullmatch(body):
        plain = re.sub(_SPACE, "", body)
        changed = plain.replace(".", "").replace(",", ".") if form == _DECIMAL_COMMA else plain.replace(",", "")
        return sign * float(changed)
    # A point would part thousands here; and Python reads 1_000 as a number, which no table means by it.
    if "_" in body or (form == _DECIMAL_COMMA and "." in body):
        return None
    try:
        return sign * float(body)
    except ValueError:
        return None
