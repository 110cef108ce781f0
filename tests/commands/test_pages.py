"""Every block of commands of the first pages, as printed, in a fresh folder, block after block.

What is not as on a reader's machine: the work is shortened (`reader.py`), files stand in for data sets of the hub, the
folders of a server's machine lie below the fresh one, and nothing is installed or given to another user. What a page
needs of services is run by `examples/deploy-loopback.sh`.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collabdm.data import PRESETS
from commands.reader import shortened

ROOT = Path(__file__).parents[2]
# Lines that change the machine, need another service, or wait for a person.
LEFT_OUT = re.compile(
    r"\s*(pip |python3\.11 -m venv|useradd|install -d|chown|chgrp|systemctl|apt-get|cp /opt|nano|curl|make "
    r"|flwr |flower-|docker )"
)
# A server's folders, which only root has.
PLACES = ("/etc/collabdm", "/var/lib/collabdm", "/srv")


def blocks(page: str, *languages: str) -> list[str]:
    """The blocks of a page in these languages, without the lines that are left out."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"^```([a-z]*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [told for language, block in found if language in languages and (told := kept(block))]


def kept(block: str) -> str:
    """A block's lines, a continued one as a whole, less those that are left out."""
    lines = block.replace("\\\n", " ").splitlines()
    drawn = any(line.startswith(" ") and "-->" in line for line in lines) or "├" in block
    return "" if drawn else "\n".join(line for line in lines if line.strip() and not LEFT_OUT.match(line))


def pictures(shape: tuple[int, ...], classes: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(classes), each)
    draw = np.random.Generator(np.random.Philox(key=1))
    noise = draw.integers(0, 60, (len(labels), *shape))
    return (noise + (180 * labels / classes).astype(int).reshape(-1, *(1 for _ in shape))).astype(np.uint8), labels


def write_folder(folder: Path, classes: tuple[str, ...]) -> None:
    images, labels = pictures((32, 32, 3), len(classes), 12)
    for i, (image, y) in enumerate(zip(images, labels, strict=True)):
        place = folder / ("test" if i % 4 == 0 else "train") / classes[y]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:04}.png")


def write_arrays(path: Path, shape: tuple[int, ...], classes: int) -> None:
    (x, y), (x_test, y_test) = pictures(shape, classes, 600 // classes), pictures(shape, classes, 4)
    hospital = np.array(["north", "south", "west"])[np.arange(len(y)) % 3]
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test, hospital_train=hospital)


def prepare_quickstart(folder: Path) -> None:
    write_folder(folder / "our-images", PRESETS["cifar10"].classes)
    write_arrays(folder / "our-photos.npz", (32, 32, 3), 10)
    write_arrays(folder / "fashion.npz", (28, 28), 10)


def prepare_tutorial(folder: Path) -> None:
    write_folder(folder / "our-images", ("healthy", "diseased"))
    write_arrays(folder / "our-data.npz", (32, 32, 3), 2)


def prepare_deploy(folder: Path) -> None:
    for place in PLACES:
        (folder / place[1:]).mkdir(parents=True)


@pytest.fixture
def typed(tmp_path: Path) -> Callable[[str, Path], subprocess.CompletedProcess[str]]:
    """Runs a block in a shell that stops at the first command that fails, with the reader's `collabdm` on the PATH."""
    command = tmp_path / "bin" / "collabdm"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m commands.reader "$@"\n')
    command.chmod(0o755)
    paths = (ROOT / "src", ROOT / "tests")
    environment = os.environ | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": ":".join(map(str, paths)),
        "HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        "READER_PRINTS": "1",
    }

    def run(block: str, folder: Path) -> subprocess.CompletedProcess[str]:
        for place in PLACES:
            block = block.replace(place, f"{folder}{place}")
        words = ("bash", "-euo", "pipefail", "-c", block)
        return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "languages", "prepare", "makes"),
    [
        (
            "quickstart.md",
            ("bash",),
            prepare_quickstart,
            ("runs/first/report.html", "runs/demo/report.html", "digits.npz", "classifier.safetensors", "runs/round"),
        ),
        (
            "tutorial.md",
            ("bash",),
            prepare_tutorial,
            ("runs/trial/report.html", "runs/by-hospital", "runs/round/report.html"),
        ),
        ("deploy.md", ("",), prepare_deploy, ("etc/collabdm/server.pem", "var/lib/collabdm/plan.json", "plan.json")),
    ],
)
def test_every_block_runs_as_printed(
    page: str,
    languages: tuple[str, ...],
    prepare: Callable[[Path], None],
    makes: tuple[str, ...],
    typed: Callable[[str, Path], subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "fresh"
    folder.mkdir()
    prepare(folder)
    for block in blocks(page, *languages):
        done = typed(block, folder)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    assert [name for name in makes if not (folder / name).exists()] == []


@pytest.mark.parametrize(
    ("page", "languages", "count", "some"),
    [
        ("quickstart.md", ("bash",), 6, "collabdm distill plan.json contributions/"),
        ("tutorial.md", ("bash",), 6, "collabdm evaluate runs/round --dataset ./our-images"),
        ("deploy.md", ("",), 4, "openssl req -x509"),
    ],
)
def test_blocks_are_found(page: str, languages: tuple[str, ...], count: int, some: str) -> None:
    """Or the test above would pass on a page whose blocks it cannot see."""
    found = blocks(page, *languages)
    assert len(found) >= count
    assert any(some in block for block in found)


def test_what_is_left_out_of_a_block() -> None:
    assert kept("pip install .  # in a checkout\ncollabdm --help\n") == "collabdm --help"
    assert kept("collabdm plan \\\n    --ipc 1\nflwr run x \\\n  --stream\n") == "collabdm plan      --ipc 1"


def test_only_what_makes_a_plan_is_shortened() -> None:
    assert shortened(["contribute", "plan.json", "--dataset", "x"]) == ["contribute", "plan.json", "--dataset", "x"]
    assert shortened(["evaluate", "r", "--dataset", "cifar10"]) == ["evaluate", "r", "--dataset", "our-images"]
    assert shortened(["plan", "--dataset", "cifar10"])[:5] == ["plan", "--dataset", "cifar10", "--set", "plan.seeds=2"]
