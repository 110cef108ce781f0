"""The expected size of a contribution, beside that of real ones."""

from dataclasses import replace

import numpy as np
import pytest

from collabdm.client import contribute
from collabdm.config import load_config
from collabdm.data import Dataset, load_dataset
from collabdm.engine import EAGER
from collabdm.planning import make_plan
from collabdm.protocol import bytes_by_part, encode_contribution
from collabdm.protocol.sizes import expected_upload


@pytest.fixture(scope="module")
def digits() -> Dataset:
    whole = load_dataset("digits")
    return replace(whole, train=whole.train.take(np.arange(600)))


@pytest.mark.parametrize("encoding", ["fp32", "fp16", "int8", "int6"])
@pytest.mark.parametrize(
    "settings",
    [
        ["plan.statistics=mean"],
        ["plan.statistics=moments", "plan.seeds=3"],
        ["plan.statistics=mean,gram", "plan.features={name='patches',width=64}"],
        ["plan.statistics=gram", "local.method=none", "plan.features={name='patches',width=128}", "plan.gram_bits=10"],
    ],
)
def test_it_is_near_to_what_a_client_of_all_classes_sends(settings: list[str], encoding: str, digits: Dataset) -> None:
    config = load_config(settings=["plan.seeds=6", "local.iterations=2", f"plan.encoding={encoding}", *settings])
    plan = make_plan(config, clients=("a", "b"), preset=digits.preset)
    content = encode_contribution(contribute(plan, "a", digits.train, engine=EAGER), plan)
    expected, found = expected_upload(plan), bytes_by_part(content)
    assert set(found) <= set(expected)
    for part in ("held", "labels"):
        assert expected[part] == found[part]
    close = 0.01 if encoding in ("fp32", "fp16", "int8") else 0.25
    assert expected["means"] == pytest.approx(found["means"], rel=close, abs=8)
    assert expected["gram"] == pytest.approx(found.get("gram", 0), rel=0.25)
    assert sum(expected.values()) == pytest.approx(len(content), rel=0.25)
