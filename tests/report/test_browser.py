"""Reports in a real browser, where one is installed: nothing logged, nothing cut off, text that can be read."""

import itertools
import re
from pathlib import Path

import pytest

from browser import CHROMIUM, measured
from collabdm.report import experiment_report, run_report
from report.test_style import contrast
from report_samples import cell, write_comparison, write_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on the PATH"),
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("pages")
    return {
        "run": run_report(write_run(folder / "run")),
        "many": run_report(write_run(folder / "many", tuple(f"a class with a long name {i}" for i in range(40)))),
        "comparison": run_report(write_comparison(folder / "comparison")),
        "experiment": experiment_report("table2", "All methods.", [cell(str(i), rank=i) for i in range(4)], 3),
    }


def seen(colour: str) -> tuple[float, ...]:
    """Red, green, blue and opacity, 0 to 1, of a computed colour."""
    numbers = [float(number) for number in re.findall(r"[\d.]+", colour.removeprefix("color(srgb"))]
    scale = 1 if colour.startswith("color(") else 255
    return (*(number / scale for number in numbers[:3]), numbers[3] if len(numbers) > 3 else 1.0)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("name", ["run", "many", "comparison", "experiment"])
def test_a_page(name: str, width: int, dark: bool, pages: dict[str, bytes], tmp_path: Path) -> None:
    found = measured(pages[name], tmp_path, width=width, dark=dark)
    assert found["log"] == []
    assert found["needed"] == found["width"] <= width
    assert found["broken"] == found["unnamed"] == 0
    levels = found["headings"]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert len(found["texts"]) > 20
    for text, grounds, element in found["texts"]:
        ground = next(seen(one) for one in grounds.split(";") if seen(one)[3] == 1)
        assert (contrast(ground[:3], (1, 1, 1)) > 7) == dark or "td" in element.lower()
        assert contrast(seen(text)[:3], ground[:3]) >= 4.5, (element, text, ground)


def test_the_console_is_listened_to(tmp_path: Path) -> None:
    page = b"<!doctype html><h1>x</h1><script>console.error('heard')</script>"
    assert "heard" in measured(page, tmp_path, width=400, dark=False)["log"][0]
    fetching = run_report(write_run(tmp_path / "run")).replace(
        b"<main>", b'<main><img alt="" src="https://example.org/x.png">'
    )
    assert "Content Security Policy" in measured(fetching, tmp_path, width=400, dark=False)["log"][0]
