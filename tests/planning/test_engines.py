"""The engine that suits the work of settings, or of a plan at a site."""

from typing import Any

import pytest
import torch

import collabdm.engine.engine
from collabdm.config import load_config
from collabdm.engine import Engine
from collabdm.errors import ConfigError
from collabdm.planning import engine_for, resolved
from collabdm.protocol import Plan
from planning.test_plans import DIGITS, plan_of


def test_the_engine_is_resolved_from_the_whole_work(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def spied(name: str, device: str, gigaflop: float, *, own: bool, tell: object) -> Engine:
        asked.append(gigaflop)
        return Engine()

    monkeypatch.setattr("collabdm.planning.engines.resolve_engine", spied)

    def work(*options: dict[str, Any]) -> float:
        resolved([load_config(options=one) for one in options], DIGITS)
        return asked[-1]

    one, other = work({}), work({"method": "full-data"})
    assert work({}, {"method": "full-data"}) == pytest.approx(one + other)
    assert work({"repeats": 3}) == pytest.approx(3 * one)
    assert work({"plan.seeds": 400}) > one > work({"method": "local-dm-pae"})
    assert work({"local.reuse": False}) > one > work({"plan.network": {"width": 8}}) > 0
    # What was resolved once is kept.
    kept = Engine(dtype="float64", chunk=7)
    assert resolved([load_config(options={"engine": kept.model_dump()})], DIGITS) == kept


def test_a_site_s_engine_is_chosen_by_its_share_of_the_plan_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, bool]] = []

    def spied(name: str, device: str, gigaflop: float, *, own: bool, tell: object) -> Engine:
        asked.append((gigaflop, own))
        return Engine()

    monkeypatch.setattr("collabdm.planning.engines.resolve_engine", spied)

    def share(plan: Plan, **options: Any) -> tuple[float, bool]:
        engine_for(load_config(options={key.replace("__", "."): value for key, value in options.items()}), plan)
        return asked[-1]

    plan = plan_of()
    own = share(plan)
    for others in (
        {"evaluate__count": 50, "evaluate__protocol": "paper", "evaluate__networks": "alexnet,vgg11", "repeats": 9},
        {
            "server__passes": 99,
            "plan__seeds": 7,
            "ipc": 99,
            "method": "central-dm",
            "partition__clients": 9,
            "local__iterations": 9,
        },
    ):
        assert share(plan, **others) == own
    resolved(
        [load_config(options={"partition.clients": 2, "evaluate.count": 1, "evaluate.epochs": 1})],
        DIGITS,
    )
    assert 0 < 2 * own[0] < asked[-1][0]
    assert share(plan_of(plan__seeds=400)) > own > share(plan_of(plan__batch=64))
    assert share(plan_of(clients=("a", "b", "c"))) < own > share(plan_of(local__iterations=10))
    assert share(plan_of(plan__network={"width": 8}))[0] < own[0]
    kept = Engine(dtype="float64", chunk=7)
    assert engine_for(load_config(options={"engine": kept.model_dump()}), plan) == kept


def test_a_tiny_plan_is_computed_alike_by_simulation_sites_and_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collabdm.engine.engine, "compiler", lambda: "/usr/bin/g++")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    tiny: dict[str, Any] = {"ipc": 1, "plan__seeds": 2, "plan__batch": 8, "local__iterations": 5}
    plan, config = plan_of(**tiny), load_config(options={"device": "cpu"})
    whole = {"device": "cpu", "evaluate.count": 1, "evaluate.epochs": 2, "partition.clients": 2}
    whole |= {key.replace("__", "."): value for key, value in tiny.items()}
    simulated = resolved([load_config(options=whole)], DIGITS)
    assert engine_for(config, plan) == simulated
    assert simulated.kind == "eager"


def test_auto_compiles_large_work_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collabdm.engine.engine, "compiler", lambda: "/usr/bin/g++")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    small = {"device": "cpu", "plan.seeds": 1, "plan.batch": 1, "local.iterations": 1, "evaluate.count": 1, "ipc": 1}
    large = {"device": "cpu", "plan.seeds": 2000}
    told: list[str | None] = []
    assert (
        resolved([load_config(options=small)], DIGITS, report=lambda event: told.append(event.message)).kind == "eager"
    )
    assert not told
    engine = resolved([load_config(options=large)], DIGITS, report=lambda event: told.append(event.message))
    assert engine.kind == "compiled"
    # The choice by processor is told once.
    (line,) = told
    assert line is not None
    assert line.startswith(f"our own kernels in {engine.dtype}, as is fastest on this machine (cpu, threads:")
    assert resolved([load_config(options=large | {"engine": "eager"})], DIGITS).kind == "eager"
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"^device: got cuda"):
            resolved([load_config(options={"device": "cuda"})], DIGITS)
