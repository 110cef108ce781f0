"""A whole simulated run under masks: fresh keys, gone when it ends, and the same after an interruption."""

from pathlib import Path

import pytest

from collabdm.config import Config
from collabdm.data import load_dataset
from collabdm.engine import REFERENCE
from collabdm.errors import CollabDMError
from collabdm.protocol import decode_contribution, decode_plan
from collabdm.simulation import round as module
from collabdm.simulation.simulate import simulate_on


def config(**masks: int) -> Config:
    return Config(
        method="collabdm",
        ipc=1,
        partition={"clients": 3, "kind": "iid"},
        plan={
            "seeds": 1,
            "network": {"name": "convnet", "width": 4, "depth": 1},
            "features": {"name": "patches", "width": 4},
            "privacy": {"epsilon": 100, "samples": 2000, "noise": "sum"},
            "masks": masks,
        },
        server={"passes": 1},
        evaluate={"count": 1, "epochs": 1},
    )


def test_an_interrupted_masked_run_goes_on_with_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, run = load_dataset("digits"), tmp_path / "run"

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "distill_round", killed)
        with pytest.raises(KeyboardInterrupt):
            simulate_on(data, config(threshold=2), run, engine=REFERENCE, allow_missing=True)
    assert {path.stat().st_mode & 0o777 for path in (run / "keys").iterdir()} == {0o600}
    before = {path.name: path.read_bytes() for path in (run / "contributions").iterdir()}
    metrics = simulate_on(data, config(threshold=2), run, engine=REFERENCE, allow_missing=True)
    assert {path.name: path.read_bytes() for path in (run / "contributions").iterdir()} == before
    assert not (run / "keys").exists()
    assert metrics["missing"] == metrics["masks_opened"] == []
    # No site sends samples, so that none came is no lack.
    assert metrics["topped_up"] == {}
    plan = decode_plan((run / "plan.json").read_bytes())
    assert plan.masks is not None
    assert plan.masks.threshold == plan.noise_shares == 2
    assert all(decode_contribution(content, plan).pairs is not None for content in before.values())


def test_too_high_a_threshold_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(CollabDMError, match="threshold must be at most the number of clients, 3"):
        simulate_on(load_dataset("digits"), config(threshold=4), tmp_path / "run", engine=REFERENCE)
    assert not (tmp_path / "run").exists()
