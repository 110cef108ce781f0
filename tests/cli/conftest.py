"""Commands run in this process, on tiny data with tiny networks."""

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import collabdm.engine
from collabdm.cli import main
from collabdm.randomness import Stream
from collabdm.training.recipes import RECIPES

# Settings under which a whole round on scikit-learn's digits takes a second; those of its plan alone, and all.
PLANNED = (
    *("--set", "plan.seeds=3", "--set", "plan.batch=8", "--set", "local.iterations=3", "--set", "server.passes=1"),
    *("--set", "evaluate.count=2", "--set", 'plan.network={name="convnet",width=4,depth=1}', "--ipc", "1"),
    *("--clients", "3", "--partition", "iid"),
)
TINY = (*PLANNED, "--engine", "eager", "--device", "cpu")


@dataclass(frozen=True)
class Outcome:
    """What one command left: its exit code and what it wrote to the two streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: object) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert isinstance(left.value.code, int)
    return Outcome(left.value.code, out.getvalue(), err.getvalue())


def assert_refused(outcome: Outcome, mentions: str = "", code: int = 2) -> None:
    assert outcome.code == code, outcome
    last = outcome.err.splitlines()[-1]
    assert last.startswith("error: "), outcome.err
    positions = [last.find(part) for part in (": got ", "; expected ", "; fix: ")]
    assert positions == sorted(positions), last
    assert positions[0] > 0, last
    assert mentions in last
    assert outcome.out == ""
    assert "Traceback" not in outcome.err


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "fast", RECIPES["fast"].model_copy(update={"epochs": 2}))
        patch.setattr(collabdm.engine, "tune_allocator", lambda: None)
        yield


@pytest.fixture(scope="module")
def simulated(_quick: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A finished run folder, and what `simulate --json` said."""
    folder = tmp_path_factory.mktemp("simulated") / "run"
    outcome = run("simulate", "--dataset", "digits", *TINY, "--out", folder, "--json")
    assert outcome.code == 0, outcome.err
    return folder, outcome


@pytest.fixture(scope="module")
def exchanged(simulated: tuple[Path, Outcome], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same round as `simulated`, by files: plan.json, contributions/, run/."""
    folder, settings = tmp_path_factory.mktemp("round"), ("--config", simulated[0] / "config.toml")
    plan, contributions = folder / "plan.json", folder / "contributions"
    assert run("plan", *settings, "--out", plan).code == 0
    for client in ("2", "0", "1"):
        target = contributions / f"from {client}.safetensors"
        asked = ("contribute", plan, "--client", client, "--shard", *settings, "--out", target, "--json")
        facts = run(*asked).json
        assert facts["bytes"] == sum(facts["parts"].values()) == target.stat().st_size
        assert facts["clipped"] is None
    outcome = run("distill", plan, contributions, *settings, *draw_of(simulated[0]), "--out", folder / "run")
    assert outcome.code == 0, outcome.err
    return folder


def draw_of(folder: Path) -> tuple[str, str]:
    """The options that repeat the draw of the start set of the run in `folder`."""
    return "--set", f"server.draw={json.loads((folder / 'round.json').read_text())['draw']}"


def write_npz(path: Path, **changes: Any) -> Path:
    """Three classes, 10 training and 4 test images of each, 8x8 grey; `changes` replace or add arrays."""
    arrays: dict[str, Any] = {}
    for split, count in (("train", 10), ("test", 4)):
        labels = np.repeat(np.arange(3), count)
        noise = Stream(0, "npz", split).integers(64, (len(labels), 8, 8))
        arrays |= {f"x_{split}": (noise + 90 * labels[:, None, None]).astype(np.uint8), f"y_{split}": labels}
    np.savez(path, allow_pickle=False, **(arrays | {"classes": np.array(["a", "b", "c"])} | changes))
    return path
