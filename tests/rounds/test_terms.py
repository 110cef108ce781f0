"""When a round may be distilled: the quorum, and classes that nobody holds."""

import numpy as np
import pytest

from collabdm.errors import ConfigError, DataError, QuorumError
from collabdm.initial_set import initial_set
from collabdm.protocol import PrivacySpec
from collabdm.rounds.terms import Terms, check_quorum, checked_start, missing_classes
from reference import made_up, small_plan

PLAN = small_plan(clients=("ada", "bob", "cid", "dee", "eve"))
HELD = {"ada": [6, 0, 2], "bob": [3, 5, 0], "cid": [2, 1, 4], "dee": [0, 2, 2], "eve": [1, 1, 1]}
SENT = [made_up(PLAN, name, held) for name, held in HELD.items()]


@pytest.mark.parametrize(("least", "needed"), [(None, 3), (0, 1), (1, 1), (2, 2), (5, 5)])
def test_so_many_are_needed(least: int | None, needed: int) -> None:
    terms = Terms(min_clients=least, allow_missing=True)
    check_quorum(PLAN, terms)
    for count in range(len(SENT) + 1):
        if count >= needed:
            assert np.array_equal(
                checked_start(PLAN, SENT[:count], terms).labels, initial_set(PLAN, SENT[:count]).labels
            )
            continue
        with pytest.raises(QuorumError, match=f"got {count}; expected at least {needed} of 5 clients; fix: wait"):
            checked_start(PLAN, SENT[:count], terms)


def test_more_than_all_cannot_be_needed() -> None:
    with pytest.raises(ConfigError, match="--min-clients: got 6; expected at most the 5 of the plan; fix: lower it"):
        check_quorum(PLAN, Terms(min_clients=6))


def test_a_class_that_nobody_holds_may_be_missing() -> None:
    with pytest.raises(DataError, match=r"classes that nobody holds: got class 1; expected none; fix: "):
        checked_start(PLAN, SENT[:1], Terms(min_clients=1))
    assert checked_start(PLAN, SENT[:1], Terms(min_clients=1, allow_missing=True)).missing == (1,)


def test_a_class_that_noise_hides_may_well_be_held() -> None:
    plan = PLAN.model_copy(update={"privacy": PrivacySpec(epsilon=10, delta=1e-5)})
    told = missing_classes(plan, "class 1")
    assert told.startswith("classes that the promise's noise hides (few samples, or none): got class 1; expected none;")
    assert "epsilon" in told


def test_a_class_of_which_everybody_sends_nothing_says_how_many_are_needed() -> None:
    plan = PLAN.model_copy(update={"min_held": 2})
    with pytest.raises(
        DataError, match=r"got class 1; expected none; fix: add .* 2 samples or more of each .*min_held"
    ):
        checked_start(plan, SENT[:1], Terms(min_clients=1))
