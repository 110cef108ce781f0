"""The colours of the page: WCAG AA contrast in both schemes, computed from the CSS itself."""

import re

import pytest

from collabdm.report.page import stylesheet

SCHEMES = re.findall(r":root\s*\{(.*?)\}", stylesheet(), re.DOTALL)
TEXTS = ("ink", "muted", "accent", "bad", "good")
LINES = ("accent", "c0", "c1", "c2", "c3", "c4", "c5")


def colours(scheme: int) -> dict[str, tuple[float, ...]]:
    found = re.findall(r"--(\w+): #([0-9a-f]{6})", SCHEMES[scheme])
    return {name: tuple(int(value[i : i + 2], 16) / 255 for i in (0, 2, 4)) for name, value in found}


def luminance(colour: tuple[float, ...]) -> float:
    """WCAG 2.2, relative luminance."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_formula() -> None:
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    grey = 0x76 / 255
    assert contrast((grey,) * 3, (1, 1, 1)) == pytest.approx(4.54, abs=0.01)


def test_there_is_a_light_and_a_dark_scheme() -> None:
    assert len(SCHEMES) == 2
    assert luminance(colours(0)["paper"]) > 0.8
    assert luminance(colours(1)["paper"]) < 0.02
    assert (
        set(colours(0)) == set(colours(1)) == set(re.findall(r"var\(--(\w\w+)\)", stylesheet())) - {"ground"} | {"heat"}
    )


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize("ground", ["paper", "panel"])
def test_text_and_lines_stand_out(scheme: int, ground: str) -> None:
    known = colours(scheme)
    for name in TEXTS:
        assert contrast(known[name], known[ground]) >= 4.5, name
    for name in LINES:
        assert contrast(known[name], known[ground]) >= 3, name
    assert contrast(known["accent"], known["track"]) >= 3


@pytest.mark.parametrize("scheme", [0, 1])
def test_numbers_are_legible_on_every_shade(scheme: int) -> None:
    known = colours(scheme)
    for strength in range(101):
        pairs = zip(known["heat"], known["panel"], strict=True)
        shade = tuple(strength / 100 * heat + (1 - strength / 100) * panel for heat, panel in pairs)
        assert contrast(known["ink"], shade) >= 4.5


def test_nothing_is_fetched() -> None:
    assert not re.search(r"url\(|@import|http", stylesheet())
