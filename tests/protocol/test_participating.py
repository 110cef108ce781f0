"""Who takes part when: the same whether it is asked of one client or of all."""

from collections import Counter

import pytest

from collabdm.protocol import participating
from collabdm.protocol.participating import seeds_of, taking_part
from reference import small_plan


def test_a_clients_seeds_are_those_that_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = small_plan(clients=tuple(f"{k:03d}" for k in range(300)), participation=0.04, seeds=20)
    named = {client: tuple(t for t in range(20) if client in plan.participants(t)) for client in plan.clients}
    assert {client: plan.assigned(client) for client in plan.clients} == named
    assert Counter(map(len, map(plan.participants, range(20)))) == {12: 20}
    assert plan.assigned("a stranger") == ()
    monkeypatch.setattr(participating, "_MOST_KEPT", 0)
    assert seeds_of(plan.seed, 20, 300, 12, 7) == named["007"]
    assert taking_part(plan.seed, 3, 300, 12).tolist() == [int(name) for name in plan.participants(3)]
