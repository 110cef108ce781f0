"""Every local method serves a round: same shapes, deterministic, its own settings in the plan."""

import json
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from collabdm.client import contribute, fingerprint
from collabdm.config import load_config
from collabdm.data import Samples
from collabdm.engine import EAGER
from collabdm.errors import ConfigError, PlanError
from collabdm.local import LOCAL_METHODS
from collabdm.protocol import (
    GradientSpec,
    KipSpec,
    LocalMethod,
    LocalSpec,
    decode_contribution,
    decode_plan,
    encode_contribution,
    encode_plan,
)
from collabdm.storage.kept_results import KeptResults
from interruptions import assert_goes_on
from quick_methods import LOCAL_SETTINGS as SETTINGS
from reference import small_plan

MakeSamples = Callable[..., Samples]


@pytest.mark.parametrize("pae", [1, 2])
@pytest.mark.parametrize("method", sorted(LOCAL_METHODS))
def test_a_method_gives_a_local_set_that_the_server_takes(make_samples: MakeSamples, method: str, pae: int) -> None:
    samples = make_samples([9, 0, 12], (3, 8, 12))
    assert set(SETTINGS) == set(LOCAL_METHODS) == set(get_args(LocalMethod))
    plan = small_plan(pae=pae, local={"method": method, **SETTINGS[method]}, ipc=6)
    sent = contribute(plan, "bob", samples, engine=EAGER)
    content = encode_contribution(sent, plan)
    arrived = decode_contribution(content, plan, features=48, fingerprint=fingerprint(plan))
    assert np.array_equal(arrived.labels, np.repeat([0, 2], [9 // pae**2 if pae == 2 else 3, 3]))
    assert encode_contribution(contribute(plan, "bob", samples, engine=EAGER), plan) == content
    start = contribute(small_plan(pae=pae, ipc=6, local={"method": "real"}), "bob", samples, engine=EAGER)
    moved = np.abs(sent.images - start.images).max()
    assert moved == 0 if method == "real" else 0 < moved < 5


@pytest.mark.parametrize("kills", [[2], [1, 1]])
@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("dm", {}),
        ("dm", {"reuse": False}),
        *((name, {}) for name in sorted(LOCAL_METHODS) if name not in ("dm", "real")),
    ],
)
def test_an_interrupted_local_stage_goes_on_to_the_same_bytes(
    make_samples: MakeSamples, method: str, more: dict[str, Any], kills: list[int], tmp_path: Path
) -> None:
    # Two seeds: the third iteration of dm begins the second pass.
    local = {"method": method, **SETTINGS[method], **more}
    samples, plan = make_samples([9, 0, 12], (3, 8, 12)), small_plan(pae=2, local=local, ipc=6, seeds=2)

    def work(folder: Path) -> bytes:
        sent = contribute(plan, "bob", samples, engine=EAGER, kept=KeptResults(folder))
        assert not list(folder.glob("*.checkpoint"))
        return encode_contribution(sent, plan)

    assert_goes_on(work, tmp_path, operator.eq, kills)
    assert work(tmp_path / "whole") == encode_contribution(contribute(plan, "bob", samples, engine=EAGER), plan)


@pytest.mark.parametrize("method", sorted(LOCAL_METHODS))
def test_the_plan_carries_the_method_and_its_settings(method: str) -> None:
    plan = small_plan(local={"method": method})
    assert decode_plan(encode_plan(plan)) == plan
    assert plan.local.kip == (KipSpec() if method == "kip" else None)
    assert plan.local.gradient == (GradientSpec() if method == "gradient" else None)
    assert (b'"kip":{' in encode_plan(plan)) == (method == "kip")


@pytest.mark.parametrize(
    ("local", "said"),
    [
        ({"method": "magic"}, "dm.*kip.*gmm.*dbscan.*gradient.*bptt.*feddm.*real"),
        ({"method": "dm", "kip": {}}, "local.kip goes with local.method = kip"),
        ({"method": "real", "init": "noise"}, "local.init = real"),
        ({"method": "kip", "kip": {"depth": 3}}, "Extra inputs"),
        ({"method": "bptt", "bptt": {"unroll": 3, "window": 4}}, "window must not be above unroll"),
    ],
)
def test_an_unknown_method_or_a_foreign_setting_is_refused(local: dict[str, Any], said: str) -> None:
    fields = json.loads(encode_plan(small_plan())) | {"local": local}
    with pytest.raises(PlanError, match=said):
        decode_plan(json.dumps(fields).encode())


def test_settings_reach_the_method() -> None:
    config = load_config(settings=["local.method=kip", "local.kip.lr=0.5"])
    assert config.local == LocalSpec(method="kip", kip=KipSpec(lr=0.5))
    with pytest.raises(ConfigError, match="local"):
        load_config(settings=["local.gradient.lr=0.5"])


def test_only_matching_of_means_needs_statistics() -> None:
    assert LocalSpec().reuses
    assert not any(LocalSpec.model_validate({"method": m}).reuses for m in LOCAL_METHODS if m != "dm")
    assert not LocalSpec(reuse=False).reuses


def test_a_rate_that_diverges_names_its_setting(make_samples: MakeSamples) -> None:
    local = {"method": "gradient", "gradient": {"iterations": 3, "lr": 1e300}}
    with pytest.raises(PlanError, match=r"local\.gradient\.lr"):
        contribute(small_plan(local=local), "bob", make_samples([4, 4, 4], (3, 8, 12)), engine=EAGER)
