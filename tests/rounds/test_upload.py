"""A limit on bytes becomes settings whose contributions keep it."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collabdm.client import contribute
from collabdm.config import Config, load_config
from collabdm.data import PRESETS, load_dataset
from collabdm.engine import EAGER
from collabdm.errors import ConfigError
from collabdm.planning import make_plan
from collabdm.protocol import encode_contribution
from collabdm.protocol.sizes import expected_upload
from collabdm.rounds.upload import REACHED, RUNGS, fitted_upload

CLIENTS = ("a", "b", "c", "d", "e")


def size_of(config: Config, name: str) -> int:
    return sum(expected_upload(make_plan(config, clients=CLIENTS, preset=PRESETS[name])).values())


@settings(max_examples=20, deadline=None)
@given(most=st.integers(200_000, 12_000_000), name=st.sampled_from(["cifar10", "mnist", "fashion_mnist"]))
def test_what_is_chosen_fits_and_the_next_rung_would_not(most: int, name: str) -> None:
    chosen, told = fitted_upload(load_config(options={"dataset": name, "ipc": 10}), PRESETS[name], CLIENTS, most)
    assert size_of(chosen, name) <= most
    assert chosen.plan.encoding == "int6"
    assert f"{chosen.plan.seeds} seeds in int6" in told
    assert "\n" not in told
    width = chosen.plan.features.width if chosen.plan.features else 0
    place = RUNGS.index((chosen.plan.seeds, width))
    if place + 1 < len(RUNGS):
        seeds, wider = RUNGS[place + 1]
        plan = chosen.plan.model_copy(update={"seeds": seeds})
        if wider:
            features = {"name": "patches", "width": wider}
            plan = load_config(
                settings=[f"plan.seeds={seeds}", "plan.encoding=int6", "plan.statistics=mean,gram"],
                options={"plan.features": features},
            ).plan
        assert size_of(chosen.model_copy(update={"plan": plan}), name) > 0.95 * most


def test_what_to_expect_is_what_the_records_say() -> None:
    cells = Path(__file__).parents[2] / "docs" / "results" / "ladder" / "cells"
    for (seeds, width), percent in REACHED.items():
        record = json.loads((cells / f"{seeds}-{width}.json").read_text())
        assert round(100 * record["accuracy"]["mean"], 1) == percent
        assert (record["dataset"], record["config"]["ipc"]) == ("cifar10", 10)
    config = load_config(options={"dataset": "cifar10", "ipc": 10})
    told = fitted_upload(config, PRESETS["cifar10"], CLIENTS, 1_100_000)[1]
    assert told.endswith(
        f"to expect: such a set of CIFAR-10, ten images per class, five clients, had {REACHED[50, 128]} % (one network)"
    )
    # Between and beyond the measured rungs, the nearest.
    told = fitted_upload(config, PRESETS["cifar10"], CLIENTS, 10**9)[1]
    assert "to expect: a set of 100 seeds and 1,664 features of CIFAR-10" in told


def test_rungs_rise() -> None:
    config = load_config(options={"dataset": "cifar10", "ipc": 10})
    sizes = [size_of(fitted_upload(config, PRESETS["cifar10"], CLIENTS, 10**9)[0], "cifar10")]
    for most in (5_000_000, 2_000_000, 1_000_000, 500_000):
        sizes.append(size_of(fitted_upload(config, PRESETS["cifar10"], CLIENTS, most)[0], "cifar10"))
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    assert list(RUNGS) == sorted(set(RUNGS))


def test_a_real_contribution_keeps_to_it() -> None:
    digits = load_dataset("digits")
    config = load_config(options={"ipc": 2}, settings=["local.iterations=1", "plan.batch=8"])
    chosen, _ = fitted_upload(config, digits.preset, ("a", "b"), 60_000)
    plan = make_plan(chosen, clients=("a", "b"), preset=digits.preset)
    assert 30_000 < len(encode_contribution(contribute(plan, "a", digits.train, engine=EAGER), plan)) <= 60_000


def test_a_limit_that_nothing_meets_is_refused_with_the_least() -> None:
    config = load_config(options={"dataset": "cifar10"})
    with pytest.raises(ConfigError, match=r"--max-upload: got 1000 bytes; expected at least \d{5,7} for"):
        fitted_upload(config, PRESETS["cifar10"], CLIENTS, 1000)


def test_a_method_without_statistics_is_refused() -> None:
    config = load_config(options={"dataset": "cifar10", "method": "local-dm"})
    with pytest.raises(ConfigError, match="--max-upload: got local-dm; expected a method that sends statistics"):
        fitted_upload(config, PRESETS["cifar10"], CLIENTS, 10**6)
