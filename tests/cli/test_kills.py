"""`kill -9` of a simulation, of the file server and of a client: what is started again ends with the same bytes.

Normally one kill of a simulation, at a sign that the work is under way; in the slow tier such kills of the others too,
and ten of each at seeded moments spread over the whole run.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.conftest import draw_of, run
from collabdm.randomness import Stream

# A run in a process of its own, which keeps what it has far more often than every 20 seconds.
CHILD = """
import sys
from collabdm.storage import checkpoints
from collabdm.engine import engine
from collabdm.training import recipes
engine.tune_allocator = lambda: None
checkpoints.SECONDS_BETWEEN = 0.02
recipes.RECIPES["fast"] = recipes.RECIPES["fast"].model_copy(update={"epochs": 2})
from collabdm.cli import main
main(sys.argv[1:])
"""
SETTINGS = (
    *("--set", "plan.seeds=8", "--set", "plan.batch=8", "--set", "local.iterations=8", "--set", "server.passes=3"),
    *("--set", "evaluate.count=1", "--set", 'plan.network={name="convnet",width=4,depth=1}', "--ipc", "1"),
    *("--dataset", "digits", "--clients", "3", "--partition", "iid", "--engine", "eager", "--device", "cpu"),
)
KILLS = 10
MOMENTS = [
    pytest.param(None, id="under way"),
    *(pytest.param(number, id=f"moment {number}", marks=pytest.mark.slow) for number in range(KILLS)),
]


def _begun(*arguments: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _killed(process: "subprocess.Popen[bytes]", sign: Callable[[], bool], delay: float) -> None:
    """`kill -9`, `delay` seconds after the sign, unless the process has ended by then."""
    while not sign() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(delay)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _delay(moment: int | None, whole: float) -> float:
    """Spread over a run of `whole` seconds, each drawn within its tenth; none for the sign alone."""
    if moment is None:
        return 0.0
    return whole * (moment + float(Stream(4, "kill", moment).uniform())) / KILLS


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(_quick: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """An uninterrupted simulation, and its seconds."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    started = time.perf_counter()
    outcome = run("simulate", *SETTINGS, "--out", folder, "--quiet")
    assert outcome.code == 0, outcome.err
    return folder, time.perf_counter() - started


@pytest.mark.slow
@pytest.mark.usefixtures("_quick")
def test_a_simulation_killed_while_a_network_is_trained_goes_on_to_the_same_figures(tmp_path: Path) -> None:
    # Long enough that the kill comes before the last epoch.
    asked = ("simulate", *SETTINGS, "--set", "evaluate.epochs=400")
    folder, whole = tmp_path / "run", tmp_path / "whole"
    assert run(*asked, "--out", whole, "--quiet").code == 0
    _killed(_begun(*asked, "--out", folder), (folder / "networks.0.training.checkpoint").exists, 0.0)
    assert (folder / "networks.0.training.checkpoint").exists()
    assert not (folder / "networks.json").exists()
    again = run(*asked, "--out", folder, "--resume", "--quiet", "--json")
    assert again.code == 0, again.err
    accuracy = [json.loads((place / "metrics.json").read_text())["accuracy"] for place in (folder, whole)]
    assert accuracy[0] == accuracy[1]
    assert set(_files(folder)) == set(_files(whole))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_simulation_goes_on_to_the_same_set(
    moment: int | None, whole: tuple[Path, float], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    asked = ("simulate", *SETTINGS, "--out", folder)
    sign = (folder / "checkpoint.safetensors") if moment is None else (folder / "config.toml")
    _killed(_begun(*asked), sign.exists, _delay(moment, whole[1]))
    assert moment is not None or not (folder / "metrics.json").exists()
    again = run(*asked, "--resume", "--quiet", "--json")
    assert again.code == 0, again.err
    assert _files(folder / "distilled") == _files(whole[0] / "distilled")
    assert _files(folder / "contributions") == _files(whole[0] / "contributions")
    assert (folder / "networks.json").exists()
    assert set(_files(folder)) == set(_files(whole[0]))


@pytest.fixture
def arriving(whole: tuple[Path, float], tmp_path: Path) -> Iterator[tuple[Path, Callable[[float], None]]]:
    """A folder with one contribution, and what lets the others come, so many seconds apart."""
    source, stored = tmp_path / "arriving", sorted((whole[0] / "contributions").iterdir())
    source.mkdir()
    (source / stored[0].name).write_bytes(stored[0].read_bytes())
    threads: list[threading.Thread] = []

    def come(apart: float) -> None:
        def write() -> None:
            for path in stored[1:]:
                time.sleep(apart)
                (source / path.name).write_bytes(path.read_bytes())

        threads.append(threading.Thread(target=write))
        threads[0].start()

    yield source, come
    for thread in threads:
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("moment", [None, *range(KILLS)])
def test_a_killed_server_goes_on_to_the_same_set(
    moment: int | None,
    whole: tuple[Path, float],
    arriving: tuple[Path, Callable[[float], None]],
    tmp_path: Path,
) -> None:
    """Killed while it waits for the others, and at moments of waiting and of distilling."""
    folder, (source, come) = tmp_path / "run", arriving
    settings = ("--config", whole[0] / "config.toml", *draw_of(whole[0]), "--out", folder, "--deadline", "10m")
    asked = ("distill", whole[0] / "plan.json", source, *settings)
    waiting = folder / "contributions.sha256"
    process = _begun(*asked)
    if moment is None:
        _killed(process, waiting.exists, 0.2)
        assert not (folder / "round.json").exists()
        come(0.0)
    else:
        while not waiting.exists() and process.poll() is None:
            time.sleep(0.005)
        come(0.5)
        _killed(process, waiting.exists, _delay(moment, 2.5 + whole[1] / 2))
    outcome = run(*asked, "--resume", "--quiet", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["missing"] == []
    assert _files(folder / "distilled") == _files(whole[0] / "distilled")
    assert not [name for name in _files(folder) if name.endswith((".part", ".old"))]


@pytest.mark.slow
@pytest.mark.parametrize("moment", [None, *range(KILLS)])
def test_a_killed_client_goes_on_to_the_same_bytes(
    moment: int | None, whole: tuple[Path, float], tmp_path: Path
) -> None:
    out, cache = tmp_path / "sent.safetensors", tmp_path / "cache"
    settings = ("--config", whole[0] / "config.toml", "--shard", "--cache", cache, "--out", out)
    asked = ("contribute", whole[0] / "plan.json", "--client", "1", *settings)
    # The first block of statistics is the sign.
    _killed(_begun(*asked), lambda: any(cache.glob("*/statistics-*")), _delay(moment, whole[1] / 3))
    assert moment is not None or not out.exists()
    if not out.exists():
        assert run(*asked, "--quiet").code == 0
    (sent,) = (path for path in (whole[0] / "contributions").iterdir() if "-1." in path.name)
    assert out.read_bytes() == sent.read_bytes()
    # A repeated request is answered with the same bytes.
    outcome = run(*asked, "--quiet", "--force")
    assert outcome.code == 0, outcome.err
    assert out.read_bytes() == sent.read_bytes()
    assert sorted(path.suffix for path in cache.iterdir()) == [".safetensors", ".sha256"]
