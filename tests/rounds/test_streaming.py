"""A round of stored contributions holds one at a time, whatever their number, and gives the same to the bit."""

import weakref
from pathlib import Path

import numpy as np
import pytest

from collabdm.config import ServerSpec
from collabdm.engine import REFERENCE
from collabdm.errors import ContributionError
from collabdm.initial_set import initial_set
from collabdm.protocol import Contribution, Plan, encode_contribution, stored
from collabdm.rounds import inbox
from collabdm.rounds.distilling import distill_round
from collabdm.rounds.inbox import collect
from collabdm.server import aggregate, aggregating
from reference import made_up, small_plan
from tiny_runs import tiny_config

CLIENTS = tuple(f"site {k:02d}" for k in range(6))
TRIMMED = ServerSpec(aggregation="trimmed")


def _sent(folder: Path, **changes: object) -> tuple[Plan, list[Contribution]]:
    """A plan, and a folder of what six clients sent: unlike counts, some classes held by few."""
    plan = small_plan(clients=CLIENTS, **changes)
    made = [made_up(plan, name, [k % 3, 2 + k, k % 5]) for k, name in enumerate(CLIENTS)]
    folder.mkdir()
    for number, one in enumerate(made):
        (folder / f"{number:02d}.safetensors").write_bytes(encode_contribution(one, plan))
    return plan, made


class _Living:
    """How many contributions there were at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most, self._there = 0, weakref.WeakSet[Contribution]()
        decode = inbox.decode_contribution

        def noted(*given: object, **named: object) -> Contribution:
            made = decode(*given, **named)  # pyright: ignore[reportArgumentType]
            self._there.add(made)
            self.most = max(self.most, len(self._there))
            return made

        monkeypatch.setattr(inbox, "decode_contribution", noted)


@pytest.mark.parametrize(("statistics", "participation"), [("mean", 1.0), ("moments", 0.4)])
def test_a_round_holds_no_more_than_two_contributions_and_is_the_same_to_the_bit(
    statistics: str, participation: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, made = _sent(tmp_path / "sent", statistics=statistics, participation=participation)
    config = tiny_config({"server.passes": 1}).model_copy(update={"engine": REFERENCE})
    distill_round(plan, tmp_path / "sent", tmp_path / "held", config)
    monkeypatch.setattr(stored, "HELD_BYTES", 0)
    living = _Living(monkeypatch)
    distill_round(plan, tmp_path / "sent", tmp_path / "read", config)
    # The one that is looked at, and the one before it, until its name is given to the next.
    assert living.most <= 2
    for name in ("initial", "distilled"):
        paths = [tmp_path / run / name / "distilled.safetensors" for run in ("held", "read")]
        assert paths[0].read_bytes() == paths[1].read_bytes()
    # And as of objects that never lay in a file.
    answers = collect(plan, tmp_path / "sent").answers
    for ours, theirs in ((aggregate(plan, answers), aggregate(plan, made[::-1])),):
        for part in ("values", "weights", "drawn", "holders"):
            assert getattr(ours, part).tobytes() == getattr(theirs, part).tobytes()
    assert (
        initial_set(plan, answers, 3).samples.numpy().tobytes() == initial_set(plan, made, 3).samples.numpy().tobytes()
    )


def test_a_rule_looks_at_some_seeds_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, made = _sent(tmp_path / "sent", statistics="moments", seeds=5)
    at_once = aggregate(plan, made, TRIMMED)
    monkeypatch.setattr(aggregating, "MOST_COMPARED", 1)
    monkeypatch.setattr(stored, "HELD_BYTES", 0)
    living = _Living(monkeypatch)
    seed_by_seed = aggregate(plan, collect(plan, tmp_path / "sent").answers, TRIMMED)
    # As above, and the last of those that were counted.
    assert living.most <= 3
    assert seed_by_seed.values.tobytes() == at_once.values.tobytes()
    assert not np.array_equal(at_once.values, aggregate(plan, made).values)


def test_a_file_that_changes_between_two_looks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = _sent(tmp_path / "sent")
    monkeypatch.setattr(stored, "HELD_BYTES", 0)
    answers = collect(plan, tmp_path / "sent").answers
    path = tmp_path / "sent" / "03.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ContributionError, match=r"03.safetensors: got bytes damaged since they were stored"):
        aggregate(plan, answers)
    path.unlink()
    with pytest.raises(ContributionError, match=r"03.safetensors: got .*; expected the same bytes"):
        aggregate(plan, answers)
