"""Every local method serves a round: same shapes, deterministic, its own settings in the plan."""

import json
import operator
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from collabdm.client import contribute
from collabdm.config import config_toml, load_config, make_config
from collabdm.data import Samples
from collabdm.engine import EAGER
from collabdm.errors import ConfigError, PlanError
from collabdm.local import LocalJob
from collabdm.matching.statistic import MOMENTS
from collabdm.progress import Report
from collabdm.protocol import (
    LOCAL_METHODS,
    LocalMethod,
    LocalSpec,
    acceptance,
    decode_contribution,
    decode_plan,
    encode_contribution,
    encode_plan,
)
from collabdm.server import distill
from collabdm.storage.kept_results import KeptResults
from interruptions import assert_goes_on
from quick_methods import LOCAL_SETTINGS as SETTINGS
from reference import small_plan

MakeSamples = Callable[..., Samples]


@pytest.mark.parametrize("tiles", [1, 2])
@pytest.mark.parametrize("method", sorted(set(LOCAL_METHODS) - {"none"}))
def test_a_method_gives_a_local_set_that_the_server_takes(make_samples: MakeSamples, method: str, tiles: int) -> None:
    samples = make_samples([9, 0, 12], (3, 8, 12))
    assert set(SETTINGS) == set(LOCAL_METHODS)
    plan = small_plan(tiles=tiles, local={"method": method, **SETTINGS[method]}, ipc=6)
    sent = contribute(plan, "bob", samples, engine=EAGER)
    content = encode_contribution(sent, plan)
    arrived = decode_contribution(content, plan, expected=acceptance(plan))
    assert np.array_equal(arrived.labels, np.repeat([0, 2], [9 // tiles**2 if tiles == 2 else 3, 3]))
    assert encode_contribution(contribute(plan, "bob", samples, engine=EAGER), plan) == content
    start = contribute(small_plan(tiles=tiles, ipc=6, local={"method": "real"}), "bob", samples, engine=EAGER)
    moved = np.abs(sent.samples - start.samples).max()
    assert moved == 0 if method == "real" else 0 < moved < 5


def test_without_a_local_set_sums_are_all_that_is_sent(make_samples: MakeSamples) -> None:
    plan, samples = small_plan(local={"method": "none"}, ipc=6), make_samples([9, 0, 12], (3, 8, 12))
    sent = contribute(plan, "bob", samples, engine=EAGER)
    arrived = decode_contribution(encode_contribution(sent, plan), plan)
    assert (arrived.samples.shape, arrived.labels.shape) == ((0, 3, 8, 12), (0,))
    assert np.array_equal(arrived.statistics, contribute(small_plan(ipc=6), "bob", samples, engine=EAGER).statistics)
    # The set then starts from noise, of which every held class has its share.
    distilled = distill(plan, [arrived], engine=EAGER)
    assert distilled.counts().tolist() == [6, 0, 6]
    assert 0.8 < float(distilled.samples.std()) < 1.2


@pytest.mark.parametrize("kills", [[2], [1, 1]])
@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("dm", {}),
        ("dm", {"reuse": False}),
        *((name, {}) for name in sorted(LOCAL_METHODS) if name not in ("dm", "none", "real")),
    ],
)
def test_an_interrupted_local_stage_goes_on_to_the_same_bytes(
    make_samples: MakeSamples, method: str, more: dict[str, Any], kills: list[int], tmp_path: Path
) -> None:
    # Two seeds: the third iteration of dm begins the second pass.
    local = {"method": method, **SETTINGS[method], **more}
    samples, plan = make_samples([9, 0, 12], (3, 8, 12)), small_plan(tiles=2, local=local, ipc=6, seeds=2)

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
    for name, entry in LOCAL_METHODS.items():
        chosen = entry.settings if name == method else None
        assert getattr(plan.local, name, None) == (chosen and chosen())
        assert (f'"{name}":{{'.encode() in encode_plan(plan)) == (chosen is not None)


@pytest.mark.parametrize(
    ("local", "said"),
    [
        ({"method": "magic"}, "dm.*kip.*gmm.*dbscan.*gradient.*bptt.*feddm.*real"),
        ({"method": "dm", "kip": {}}, "local.kip goes with local.method = kip"),
        ({"method": "real", "init": "noise"}, "local.init = real"),
        ({"method": "kip", "kip": {"depth": 3}}, "local.kip.depth: got 3; expected no such key"),
        ({"method": "bptt", "bptt": {"unroll": 3, "window": 4}}, "window must not be above unroll"),
    ],
)
def test_an_unknown_method_or_a_foreign_setting_is_refused(local: dict[str, Any], said: str) -> None:
    fields = json.loads(encode_plan(small_plan())) | {"local": local}
    with pytest.raises(PlanError, match=said):
        decode_plan(json.dumps(fields).encode())


def test_settings_reach_the_method() -> None:
    config = load_config(settings=["local.method=kip", "local.kip.lr=0.5"])
    assert config.local == LocalSpec.model_validate({"method": "kip", "kip": {"lr": 0.5}})
    with pytest.raises(ConfigError, match="local"):
        load_config(settings=["local.gradient.lr=0.5"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["local.method=kip", "local.kip.lr=0"], "local.kip.lr: got 0; expected more than 0;"),
        (["local.method=kip", "local.kip.batch=x"], "local.kip.batch: got 'x'; expected a whole number"),
        (["local.method=kip", "local.kip.stop=nan"], "local.kip.stop: got nan"),
        (["local.method=feddm", "local.feddm.momentum=1"], "local.feddm.momentum: got 1; expected less than 1"),
        (["local.method=bptt", "local.bptt.width=5"], "local.bptt.width: got 5; expected a multiple of 4"),
        (["local.method=bptt", "local.bptt.window=99"], "local.bptt: got {'window': 99}; expected window must not be"),
        (["local.method=gradient", "local.gradient=3"], "local.gradient: got 3; expected keys with values"),
        (["local.method=kip", "local.kip.depth=3"], "local.kip.depth: got an unknown key"),
        (["local.method=kip", "local.typo=1"], "local.typo: got an unknown key"),
        (["local.typo={lr=1}"], "local.typo: got an unknown key"),
        (["local.dm.lr=1"], "local.dm: got an unknown key"),
        (["local.method=real", "local.real={}"], "local.real: got an unknown key"),
        (["local.kip.lr=1"], "local: got {'kip': {'lr': 1}}; expected local.kip goes with local.method = kip"),
        (
            ["local.method=bptt", "local.bptt.lr=1", "local.kip.lr=1"],
            "expected local.kip goes with local.method = kip",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_named_by_its_whole_path(settings: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(settings=settings)
    message = str(raised.value)
    assert message.startswith("setting local")
    assert said in message
    assert message.count("; expected ") == message.count("; fix: ") == 1
    assert message.isprintable()


# As written before the tables of methods were looked up: plans and keys of kept results depend on them.
DM = '{"batch":256,"init":"real","iterations":1000,"lr":1.0,"method":"dm","momentum":0.5,"reuse":true}'
KIP = (
    '{"batch":256,"init":"real","iterations":1000,'
    '"kip":{"batch":500,"iterations":3000,"lr":0.004,"ridge":1e-06,"stop":0.999},'
    '"lr":1.0,"method":"kip","momentum":0.5,"reuse":true}'
)


@pytest.mark.parametrize(
    ("fields", "written"),
    [
        ({}, DM),
        ({"method": "dm", "kip": None, "gradient": None, "bptt": None, "feddm": None}, DM),
        ({"method": "kip"}, KIP),
        ({"method": "kip", "kip": {"lr": 4e-3}, "feddm": None}, KIP),
    ],
)
def test_the_json_of_a_spec_is_what_it_was(fields: dict[str, Any], written: str) -> None:
    spec = LocalSpec.model_validate(fields)
    for given in (spec, small_plan(local=fields).local):
        tree = given.model_dump(mode="json", exclude_none=True)
        assert json.dumps(tree, sort_keys=True, separators=(",", ":")) == written
    assert f'"local":{written}'.encode() in encode_plan(small_plan(local=fields))
    assert LocalSpec.model_validate_json(written) == spec


@pytest.mark.parametrize("method", sorted(LOCAL_METHODS))
def test_a_spec_is_read_back_from_every_form_it_is_written_in(method: str, tmp_path: Path) -> None:
    spec = LocalSpec.model_validate({"method": method})
    assert LocalSpec.model_validate(spec.model_dump()) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec
    file = tmp_path / "config.toml"
    file.write_bytes(config_toml(make_config({"local": spec.model_dump()})))
    assert load_config(file=file).local == spec


def test_a_method_that_is_registered_is_known_with_its_table(
    make_samples: MakeSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shifted(job: LocalJob, samples: torch.Tensor, labels: torch.Tensor, report: Report) -> torch.Tensor:
        return samples + job.plan.local.own(ShiftSpec).by

    monkeypatch.setitem(LOCAL_METHODS, "shift", LocalMethod(run=shifted, settings=ShiftSpec))
    samples, plans = make_samples([4, 4, 4], (3, 8, 12)), []
    for local in ({"method": "real"}, {"method": "shift"}, {"method": "shift", "shift": {"by": 2.0}}):
        plan = small_plan(local=local)
        assert decode_plan(encode_plan(plan)) == plan
        plans.append(contribute(plan, "bob", samples, engine=EAGER).samples)
    assert np.allclose(plans[1] - plans[0], 0.5, atol=1e-6)
    assert np.allclose(plans[2] - plans[0], 2.0, atol=1e-6)
    with pytest.raises(ConfigError, match=r"setting local\.shift\.by: got 'far'"):
        load_config(settings=["local.method=shift", "local.shift.by=far"])
    with pytest.raises(ConfigError, match=r"local\.shift goes with local\.method = shift"):
        load_config(settings=["local.shift.by=1"])


class ShiftSpec(BaseModel, frozen=True, extra="forbid"):
    """Settings of a method that is made up."""

    by: float = 0.5


def test_only_matching_of_means_needs_statistics() -> None:
    assert LocalSpec().statistic is MOMENTS
    assert all(LocalSpec.model_validate({"method": m}).statistic is None for m in LOCAL_METHODS if m != "dm")
    assert LocalSpec(reuse=False).statistic is None


def test_a_rate_that_diverges_names_its_setting(make_samples: MakeSamples) -> None:
    local = {"method": "gradient", "gradient": {"iterations": 3, "lr": 1e300}}
    with pytest.raises(PlanError, match=r"local\.gradient\.lr"):
        contribute(small_plan(local=local), "bob", make_samples([4, 4, 4], (3, 8, 12)), engine=EAGER)
