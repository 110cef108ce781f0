"""The command that makes the documentation's pictures of reports, and what is committed of them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import screenshots
from chromium import CHROMIUM

ROOT = Path(__file__).parents[2]
NAMES = {f"{page}{look}.png" for page in ("run", "round", "experiment") for look in ("", "-phone-dark")}


def assert_pictures(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == NAMES
    for path in sorted(folder.iterdir()):
        assert path.stat().st_size <= 250_000, path
        with Image.open(path) as shown:
            pixels = np.asarray(shown.convert("RGB"))
        height, width, _ = pixels.shape
        dark = "dark" in path.name
        assert (width, height) == ((390, 1500) if dark else (1280, 1500))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 16
        # The paper is dark in the dark, and takes up most of a page.
        assert (np.median(pixels) < 60) == dark


def test_those_that_are_committed_are_shown() -> None:
    folder = ROOT / "docs" / "screenshots"
    assert_pictures(folder)
    pages = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("runs.md", "experiments.md"))
    assert [name for name in NAMES if f"(screenshots/{name})" not in pages] == []


def test_without_a_browser_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(screenshots, "CHROMIUM", None)
    with pytest.raises(SystemExit, match=r"^screenshots: no chromium, .* on the PATH; install one of them$"):
        screenshots.main(["--out", str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_fails_ends_it_in_one_line() -> None:
    with pytest.raises(SystemExit, match=r"^screenshots: collabdm report failed: error: [^\n]*nothing there[^\n]*$"):
        screenshots.command("report", "no-such-run")


def test_a_picture_that_cannot_be_small_is_not_left(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 900, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "drawn.png")
    with pytest.raises(SystemExit, match=r"out\.png is above 250 kB in 32 colours"):
        screenshots.written_small(tmp_path / "drawn.png", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
    Image.fromarray(noise // 128).save(tmp_path / "drawn.png")
    assert "900 x 600" in screenshots.written_small(tmp_path / "drawn.png", tmp_path / "out.png")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on the PATH")
def test_the_command_makes_them(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "release" / "screenshots.py", "--out", tmp_path / "out"], check=True)
    assert_pictures(tmp_path / "out")
