"""Reports in a real browser, where one is installed: nothing logged, nothing cut off, text that can be read."""

import itertools
import math
import re
import shutil
from pathlib import Path

import pytest
import torch

from chromium import CHROMIUM, measured
from collabdm.data.tabular.column import Column
from collabdm.distilled.set import DistilledSet
from collabdm.modality import Modality
from collabdm.report import experiment_report, run_report
from collabdm.report.evaluated import EVALUATIONS, set_digest
from collabdm.series.modality import Series
from collabdm.storage.files import write_json
from collabdm.tables.modality import Tables
from report.test_style import contrast
from report_samples import CLASSES, cell, metrics, write_comparison, write_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on the PATH"),
]


ROWS = Tables(columns=tuple(Column(name=name, kind="numeric", low=-1, high=1) for name in ("size", "weight")))
SERIES = Series(channels=2, length=16)
NAMES = ["run", "many", "round", "round, judged", "rows", "series", "comparison", "experiment", "sizes"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("pages")
    simulated = write_run(folder / "run")
    shutil.copy(simulated / "initial" / "distilled.safetensors", simulated / "real.safetensors")
    sizes = [
        cell(f"{method}-{ipc}", rank=ipc, accuracy=0.4 + ipc / 100, paper=41.5, method=method, ipc=ipc)
        for method in ("collabdm", "k-fed", "full-data")
        for ipc in (1, 5, 10, 20, 30, 40, 50)
    ]
    return {
        "run": run_report(simulated),
        "many": run_report(write_run(folder / "many", tuple(f"a class with a long name {i}" for i in range(40)))),
        "round": run_report(a_round(folder / "round")),
        "round, judged": run_report(a_round(folder / "judged", judged=True)),
        "rows": run_report(a_run_of(folder / "rows", ROWS)),
        "series": run_report(a_run_of(folder / "series", SERIES)),
        "comparison": run_report(write_comparison(folder / "comparison")),
        "experiment": experiment_report("table2", "All methods.", [cell(str(i), rank=i) for i in range(4)], 3),
        "sizes": experiment_report("sizes", "Methods by images per class.", sizes, 0),
    }


def a_round(folder: Path, *, judged: bool = False) -> Path:
    """What a round by files leaves, before and after somebody with test data judged its set."""
    kept = ("losses", "loss", "seconds", "bytes", "topped_up", "refused", "versions", "hardware")
    run = write_run(folder)
    write_json(run / "metrics.json", {key: value for key, value in metrics().items() if key in kept})
    if judged:
        told = {"set": set_digest(run / "distilled"), "dataset": "tests", "networks": ["convnet"], "when": "2026-01-01"}
        write_json(run / EVALUATIONS, [told | {"protocol": {"name": "fast"}, "accuracy": metrics()["accuracy"]}])
    return run


def a_run_of(folder: Path, sample: Modality) -> Path:
    """A run whose samples are no images."""
    run = write_run(folder)
    for name in ("initial", "distilled"):
        made = DistilledSet(
            samples=torch.linspace(-1, 1, 6 * math.prod(sample.shape)).reshape(6, *sample.shape),
            labels=torch.arange(6) // 2,
            classes=CLASSES,
            sample=sample,
            augment=(),
            method="collabdm",
            facts={},
        )
        made.save(run / name, overwrite=True)
    return run


def seen(colour: str) -> tuple[float, ...]:
    """Red, green, blue and opacity, 0 to 1, of a computed colour."""
    numbers = [float(number) for number in re.findall(r"[\d.]+", colour.removeprefix("color(srgb"))]
    scale = 1 if colour.startswith("color(") else 255
    return (*(number / scale for number in numbers[:3]), numbers[3] if len(numbers) > 3 else 1.0)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", NAMES)
def test_a_page(name: str, width: int, dark: bool, pages: dict[str, bytes], tmp_path: Path) -> None:
    found = measured(pages[name], tmp_path, width=width, dark=dark)
    assert found["log"] == []
    assert found["needed"] == found["width"] <= width
    assert found["broken"] == found["unnamed"] == 0
    # What goes beyond its edge says so, and nothing else does.
    assert all(wide == hinted for wide, hinted in found["wide"]), found["wide"]
    assert any(wide for wide, _ in found["wide"]) or width > 390 or name.startswith("round")
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
