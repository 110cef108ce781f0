"""The strawman: many clients make the round of one server with all data, and bytes are those of the messages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from collabdm.baselines import RivalJob, RivalResult, rival_named, strawman
from collabdm.baselines.messages import packed, unpacked
from collabdm.baselines.strawman_rounds import Cost, Federation, State, matched_round, meta_round
from collabdm.config.rivals import StrawmanSpec
from collabdm.data import Dataset, Samples, load_dataset
from collabdm.engine import EAGER, REFERENCE
from collabdm.protocol import EncodingName, Plan
from collabdm.randomness import Stream
from collabdm.simulation.sharing import parts_of
from collabdm.training.differentiable import Differentiable
from collabdm.training.training_set import TrainingSet
from reference import relative_error, small_plan
from tiny_runs import tiny_config

MakeSamples = Callable[..., Samples]
LABELS = torch.tensor([0, 1, 1, 2])
SPEC = StrawmanSpec(batch=1000, restart=2, inner=1, unroll=3, window=2)


def _federation(plan: Plan, shares: dict[str, Samples], spec: StrawmanSpec = SPEC) -> Federation:
    data = {
        client: TrainingSet(
            samples=samples,
            labels=torch.from_numpy(samples.labels),
            sample=plan.sample,
            augment=plan.augment,
        )
        for client, samples in shares.items()
    }
    net = Differentiable(spec=plan.network, sample=plan.sample, classes=3, engine=REFERENCE)
    return Federation(
        plan=plan, spec=spec, net=net, data=data, held={client: samples.counts() for client, samples in shares.items()}
    )


def _state() -> State:
    images = torch.from_numpy(Stream(0, "strawman images").uniform((4, 3, 8, 12), -1, 1))
    nothing = torch.zeros_like(images)
    return {"samples": images, "momentum": nothing, "first": nothing, "second": nothing, "norm": torch.zeros(1)}


def _split(samples: Samples) -> dict[str, Samples]:
    """Unequal shares; one client lacks a class."""
    first = np.concatenate([samples.of_class(0)[:2], samples.of_class(1)[:5]])
    others = np.setdiff1d(np.arange(len(samples)), first)
    return {"ada": samples.take(first), "bob": samples.take(others[:4]), "cid": samples.take(others[4:])}


@pytest.mark.parametrize("one_round", [matched_round, meta_round])
def test_many_clients_are_one_server_with_all_the_data(
    make_samples: MakeSamples, one_round: Callable[..., tuple[State, Cost]]
) -> None:
    samples = make_samples([6, 7, 8], (3, 8, 12))
    plan = small_plan(encoding="fp32")
    together = _federation(plan, {"ada": samples})
    apart = _federation(plan, _split(samples))
    states = [_state(), _state()]
    for number in range(3):
        before = states[0]["samples"]
        states = [one_round(f, state, LABELS, number)[0] for f, state in zip((together, apart), states, strict=True)]
        moves = [state["samples"] - before for state in states]
        # Messages are float32.
        assert relative_error(moves[1], moves[0]) < 1e-3
        assert bool(moves[0].any())


def test_bytes_are_those_of_the_messages(make_samples: MakeSamples) -> None:
    samples = make_samples([6, 7, 8], (3, 8, 12))
    plan = small_plan(encoding="fp16")
    for one_round, matched in ((matched_round, True), (meta_round, False)):
        federation = _federation(plan, _split(samples))
        _, cost = one_round(federation, _state(), LABELS, 0)
        parameters = federation.net.fresh(Stream(0, "net"))
        whole = len(packed(parameters, "fp16"))
        assert cost.down.tolist() == [whole] * 3
        weights = {name: value for name, value in parameters.items() if value.dim() > 1}
        for client, up in zip(sorted(federation.held), cost.up, strict=True):
            held = np.flatnonzero(federation.held[client])
            sent = {f"{y}.{name}": value for y in held for name, value in weights.items()}
            assert up == (len(packed(sent, "fp16")) if matched else whole)
        assert all(cost.seconds > 0)
        twice = cost.plus(cost)
        assert np.array_equal(twice.up, 2 * cost.up)


@pytest.mark.parametrize(("encoding", "kind", "tolerance"), [("fp32", np.float32, 1e-7), ("fp16", np.float16, 1e-3)])
def test_a_message_keeps_tiny_gradients(encoding: EncodingName, kind: type[np.floating], tolerance: float) -> None:
    sent = {"a": torch.tensor([3e-12, -1e-12, 0.0]), "b": torch.tensor([[1e6, 2e5]]), "c": torch.zeros(2)}
    content = packed(sent, encoding)
    arrived = unpacked(content, EAGER)
    assert sorted(arrived) == ["a", "b", "c"]
    assert all(relative_error(arrived[name], value) < tolerance for name, value in sent.items())
    assert load(content)["a"].dtype == kind


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def _job(data: Dataset, kept: Path, changes: dict[str, Any]) -> RivalJob:
    settings = {"rounds": 4, "points": 1, "batch": 8, "restart": 2, "inner": 1} | changes
    config = tiny_config(
        {"method": "strawman-gradient"} | {f"rivals.strawman_gradient.{name}": v for name, v in settings.items()}
    )
    return RivalJob(
        train=data.train,
        parts=parts_of(config, data),
        config=config,
        preset=data.preset,
        engine=EAGER,
        kept=kept,
    )


def _told(result: RivalResult) -> list[tuple[int, float, float, bytes]]:
    return [(p.rounds, p.bytes_down, p.bytes_up, p.product.to_bytes()) for p in result.curve]


def test_an_interrupted_run_goes_on_after_its_last_point(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = rival_named("strawman-gradient").run
    whole = run(_job(digits, tmp_path / "whole", {}))
    assert [point.rounds for point in whole.curve] == [0, 2]
    assert whole.rounds == 5, "the local sets are a round of their own"
    each = [whole.curve[0].bytes_up, whole.curve[1].bytes_up, np.mean(list(whole.bytes_up.values()))]
    assert each[1] - each[0] == pytest.approx(each[2] - each[1])
    calls: list[range] = []
    segment = strawman._segment

    def stops(*args: Any) -> Any:
        calls.append(args[5])
        if args[5].start == 2:
            raise KeyboardInterrupt
        return segment(*args)

    with monkeypatch.context() as patch:
        patch.setattr(strawman, "_segment", stops)
        with pytest.raises(KeyboardInterrupt):
            run(_job(digits, tmp_path / "parts", {}))
    assert calls == [range(0, 2), range(2, 4)]
    kept = sorted(path.name for path in (tmp_path / "parts").glob("rounds-*"))
    again = run(_job(digits, tmp_path / "parts", {}))
    assert set(kept) < {path.name for path in (tmp_path / "parts").glob("rounds-*")}
    assert (_told(again), again.bytes_up, again.bytes_down) == (_told(whole), whole.bytes_up, whole.bytes_down)
    assert isinstance(again.product, type(whole.product))


def test_noise_costs_nothing_up_before_the_first_round(digits: Dataset, tmp_path: Path) -> None:
    result = rival_named("strawman-gradient").run(_job(digits, tmp_path, {"init": "noise", "rounds": 0}))
    assert set(result.bytes_up.values()) == {0}
    assert result.rounds == 0
    assert result.curve == ()
