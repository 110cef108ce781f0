"""What a card says of masks, against the accountant."""

import pytest

from collabdm.privacy.claims import mask_facts
from privacy.test_accountant import delta_of
from private_plan import masked_plan, private_plan


def test_what_one_share_of_the_noise_promises_alone() -> None:
    plan, _ = masked_plan(["a", "b", "c", "d", "e"], threshold=4, privacy={"epsilon": 1, "noise": "sum"})
    found = mask_facts(plan)["masks"]
    assert isinstance(found, dict)
    assert found["threshold"] == 4
    # Noise of half the size, by the formula itself.
    assert isinstance(alone := found["epsilon_alone"], float)
    assert delta_of(3.7306 / 2, alone) == pytest.approx(1e-5, rel=0.02)
    assert alone > 2


def test_where_every_site_adds_the_whole_it_is_the_whole() -> None:
    plan, _ = masked_plan()
    assert mask_facts(plan) == {"masks": {"threshold": 2, "epsilon_alone": 1.0}}
    assert mask_facts(private_plan()) == {}
