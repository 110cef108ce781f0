"""An audit of a tiny run: what it finds, keeps and writes, and what it refuses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collabdm.audit import AuditSpec, audit_run, auditing
from collabdm.errors import CollabDMError, ConfigError, RunFolderError
from collabdm.simulation.simulate import simulate
from tiny_runs import tiny_config, two_epochs, write_sites

SPEC = AuditSpec(canaries=10, rounds=6)


def settings(folder: Path, per_class: int = 12, **changes: Any) -> dict[str, Any]:
    data = {
        "dataset": str(write_sites(folder / "sites.npz", per_class=per_class)),
        "partition.kind": "by-column",
        "partition.column": "site",
    }
    return data | {"method": "collabdm", "plan.min_held": 1, "plan.batch": 64} | changes


@pytest.fixture(autouse=True, scope="module")
def short() -> Iterator[None]:
    with two_epochs():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    simulate(tiny_config(settings(folder)), folder / "run")
    return folder / "run"


def test_it_finds_what_it_says_and_writes_it_down(run: Path) -> None:
    card = (run / "distilled" / "README.md").read_text()
    found = audit_run(run, SPEC)
    assert json.loads((run / "audit.json").read_text()) == found
    assert set(found["attacks"]) == {"nearest", "network", "means"}
    assert (found["canaries"], found["rounds"], found["promise"]) == (10, 6, None)
    for one in found["attacks"].values():
        assert 0 <= one["true_positives"] <= 1
        assert one["members"] + one["others"] <= 60
        assert 0 <= one["right"] <= one["guessed"] == 5
    # The server knows the encoders, so a mean of a few samples tells it nearly everything.
    assert found["attacks"]["means"]["auc"] > 0.75
    assert found["attacks"]["means"]["sees"] == "contributions"
    assert not (run / "audit").exists()
    audited = (run / "distilled" / "README.md").read_text()
    (head, first), second = (
        audited.split("> **Audited**, 10 mislabelled canaries, 6 rounds. "),
        "> From what the server",
    )
    assert first.startswith("From the set, the best of 2 attacks found ")
    assert second in first
    assert head.endswith("## Privacy\n\n")
    # Again, to the same figures, and once in the card.
    assert audit_run(run, SPEC) == found
    assert (run / "distilled" / "README.md").read_text() == audited
    lines = [line for line in audited.splitlines() if not line.startswith("> ")]
    assert [line for line in lines if line] == [line for line in card.splitlines() if line]


def test_an_interrupted_audit_goes_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = audit_run(run, SPEC)

    def stop(event: Any) -> None:
        if event.stage == "audit" and event.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit_run(run, SPEC, report=stop)
    assert len(list((run / "audit").glob("*.json"))) == 3
    told: list[int] = []
    assert audit_run(run, SPEC, report=lambda event: told.append(event.done)) == whole


def test_a_budget_that_is_spent_leaves_the_fewest_rounds(run: Path) -> None:
    lines: list[str | None] = []
    found = audit_run(
        run, AuditSpec(canaries=4, rounds=9, seconds=0.0), report=lambda event: lines.append(event.message)
    )
    assert found["rounds"] == 6
    assert "the budget is spent: 6 of 9 rounds" in lines


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (AuditSpec(canaries=0), "audit: got 16 rounds, 0 canaries; expected at least 6 rounds and 1 canary"),
        (AuditSpec(rounds=5), "audit: got 5 rounds, 100 canaries; expected at least 6 rounds and 1 canary"),
    ],
)
def test_too_little_is_refused(run: Path, spec: AuditSpec, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        audit_run(run, spec)
    assert str(refused.value).startswith(says)


def test_coins_that_leave_nothing_to_compare_are_told_before_any_work(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "included", lambda count, number, *, seed: np.full(count, number > 0))
    with pytest.raises(ConfigError, match=r"^canaries of the audit: got 3 in 6 rounds; .*; fix: ask for more rounds"):
        audit_run(run, AuditSpec(canaries=3, rounds=6))
    assert not (run / "audit").exists()


def test_what_is_no_simulated_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"no config\.toml; expected a simulated run; fix: give the folder"):
        audit_run(tmp_path, SPEC)
    simulate(tiny_config(settings(tmp_path, method="random-real")), tmp_path / "real")
    with pytest.raises(CollabDMError, match=r"expected a simulated run|expected a run of a method in which sites send"):
        audit_run(tmp_path / "real", SPEC)


@pytest.mark.slow
def test_under_a_promise_the_same_means_tell_hardly_anything(tmp_path: Path) -> None:
    promise = {"plan.privacy": {"epsilon": 3.0, "delta": 1e-5, "samples": 400}, "local.method": "none"}
    simulate(tiny_config(settings(tmp_path, per_class=120, **promise)), tmp_path / "run")
    found = audit_run(tmp_path / "run", SPEC)
    assert found["promise"]["epsilon"] == 3.0
    assert found["attacks"]["means"]["auc"] < 0.8
    assert found["attacks"]["means"]["epsilon_at_least"] <= 3.0
