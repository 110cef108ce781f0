"""The server's side of a round of files: what is refused, what is needed, and going on after an interruption."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save

from collabdm.classifiers.file import load_classifier
from collabdm.client import contribute
from collabdm.config import Config, ServerSpec
from collabdm.data import Samples
from collabdm.distilled.set import load
from collabdm.engine import REFERENCE
from collabdm.errors import ConfigError, DataError, QuorumError
from collabdm.initial_set import initial_set
from collabdm.progress import Event
from collabdm.protocol import (
    Plan,
    acceptance,
    bytes_by_part,
    decode_contribution,
    encode_contribution,
    encode_plan,
    fingerprint,
    plan_digest,
)
from collabdm.rounds import distilling as rounds
from collabdm.rounds.distilling import distill_round
from collabdm.rounds.inbox import collect
from collabdm.rounds.terms import Terms
from collabdm.server import Refinement, aggregate, initial_state, refine, tell_worse
from collabdm.storage import checkpoints
from collabdm.teacher import pooled_equations, teacher_of
from reference import made_up, small_plan
from rounds.refining import refined
from tiny_runs import tiny_config

HELD = {"ada": [6, 0, 2], "bob": [3, 5, 0], "cid": [2, 1, 4], "dee": [0, 2, 2]}
CONFIG = tiny_config({"server.passes": 2, "server.lr": 1.0})
Sent = tuple[Plan, Mapping[str, bytes]]


@pytest.fixture(scope="module")
def sent(make_samples: Callable[..., Samples]) -> Sent:
    """A plan, and the file of every client."""
    plan = small_plan(clients=tuple(HELD), participation=0.5, augment=("crop", "colour"))
    return plan, {name: _file(plan, name, make_samples(held, plan.sample.shape)) for name, held in HELD.items()}


def _file(plan: Plan, name: str, samples: Samples) -> bytes:
    return encode_contribution(contribute(plan, name, samples, engine=REFERENCE), plan)


def _folder(path: Path, files: Mapping[str, bytes]) -> Path:
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / f"{name}.safetensors").write_bytes(content)
    return path


def _distill(plan: Plan, contributions: Path, run: Path, config: Config = CONFIG, **others: Any) -> dict[str, Any]:
    return distill_round(plan, contributions, run, config.model_copy(update={"engine": REFERENCE}), **others)


def _bytes(run: Path) -> bytes:
    return (run / "distilled" / "distilled.safetensors").read_bytes()


def test_a_round_is_aggregate_initial_set_and_distill(sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    run = tmp_path / "run"
    metrics = _distill(plan, _folder(tmp_path / "sent", files), run)
    contributions = list(collect(plan, tmp_path / "sent").contributions.values())
    start = initial_set(plan, contributions)
    target = aggregate(plan, contributions)
    samples, losses = refined(plan, target, start.samples, start.labels, CONFIG.server, engine=REFERENCE)
    product = load(run / "distilled")
    assert torch.equal(product.samples, samples.float())
    assert torch.equal(product.labels, start.labels)
    before = load(run / "initial")
    assert torch.equal(before.samples, start.samples)
    assert torch.equal(before.labels, start.labels)
    assert metrics["losses"] == losses
    assert len(losses) == 6
    begun, ended = (initial_state(images, start.labels, REFERENCE) for images in (start.samples, samples))
    assert metrics["loss"] == tell_worse(plan, target, begun, ended, CONFIG.server, engine=REFERENCE)
    assert metrics["loss"]["after"] < metrics["loss"]["before"]
    assert set(metrics["memory"]) == {"aggregate", "distill"}
    assert metrics["bytes"]["down"] == dict.fromkeys(HELD, len(encode_plan(plan)))
    assert metrics["bytes"]["up"] == {name: len(content) for name, content in files.items()}
    assert metrics["bytes"]["parts"] == {name: bytes_by_part(content) for name, content in files.items()}
    assert metrics["skipped"] == target.skipped
    assert metrics["topped_up"] == {plan.classes[y]: count for y, count in start.topped_up.items()}
    assert (metrics["missing"], metrics["missing_classes"], metrics["refused"]) == ([], [], {})
    assert metrics["unprotected"] is None
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert not (run / "checkpoint.safetensors").exists()


GRAM: dict[str, Any] = {"statistics": ["mean", "gram"], "features": {"name": "patches", "width": 8}, "gram_bits": 8}


@pytest.fixture(scope="module")
def taught(make_samples: Callable[..., Samples]) -> Sent:
    """The same with the Gram matrix."""
    plan = small_plan(clients=tuple(HELD), **GRAM)
    return plan, {name: _file(plan, name, make_samples(held, plan.sample.shape)) for name, held in HELD.items()}


def test_a_round_with_gram_leaves_the_teacher_and_is_moved_by_it(
    taught: Sent, make_samples: Callable[..., Samples], tmp_path: Path
) -> None:
    plan, files = taught
    inbox = _folder(tmp_path / "sent", files)
    _distill(plan, inbox, tmp_path / "run", provenance=rounds.Provenance(facts={"dataset": "x"}))
    kept = load_classifier(tmp_path / "run" / "teacher.safetensors")
    equations = pooled_equations(plan, collect(plan, inbox).contributions.values())
    teacher = teacher_of(plan, equations, REFERENCE)
    shown = make_samples([4, 4, 4], plan.sample.shape, 5)
    said = torch.softmax(teacher.logits(plan.sample.tensors(shown.values, device="cpu", dtype=torch.float64)), dim=1)
    np.testing.assert_allclose(kept.probabilities(shown.values), said.numpy(), atol=2e-3)
    assert kept.card.classes == plan.classes
    assert (kept.card.facts["plan"], kept.card.facts["dataset"]) == (plan_digest(plan), "x")
    facts = load(tmp_path / "run" / "distilled").facts
    assert facts["statistics"] == ["mean", "gram"]
    assert facts["features"] == {"name": "patches", "width": 8}
    # The teacher's term moves the set; without it, it is that of a plan without the Gram matrix.
    config = tiny_config({"server.passes": 2, "server.lr": 1.0, "server.teacher": 0.0})
    _distill(plan, inbox, tmp_path / "off", config)
    off, on = (load(tmp_path / name / "distilled").samples for name in ("off", "run"))
    assert not torch.equal(off, on)
    bare = small_plan(clients=tuple(HELD))
    contributions = [decode_contribution(content, plan) for content in files.values()]
    without = [replace(one, gram=None, fingerprint=fingerprint(bare)) for one in contributions]
    start, target = initial_set(bare, without), aggregate(bare, without)
    begun = load(tmp_path / "off" / "initial").samples
    alone, _ = refined(bare, target, begun, start.labels, config.server, engine=REFERENCE)
    assert torch.equal(off, alone.float())


def test_a_round_with_gram_that_was_interrupted_goes_on_to_the_same_bits(
    taught: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    plan, files = taught
    inbox = _folder(tmp_path / "sent", files)
    _distill(plan, inbox, tmp_path / "whole")

    def stop(refinement: Refinement) -> None:
        if refinement.steps == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _distill(plan, inbox, tmp_path / "run", visit=stop)
    assert (tmp_path / "run" / "teacher.safetensors").exists()
    done: list[int] = []
    _distill(plan, inbox, tmp_path / "run", visit=lambda refinement: done.append(refinement.steps))
    assert done[-1] == 6
    assert done[0] > 1
    for name in ("teacher.safetensors", "distilled/distilled.safetensors", "initial/distilled.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_round_without_gram_leaves_no_teacher(sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    _distill(plan, _folder(tmp_path / "sent", files), tmp_path / "run")
    assert not (tmp_path / "run" / "teacher.safetensors").exists()


def test_the_teachers_term_needs_joint_steps(taught: Sent, tmp_path: Path) -> None:
    plan, files = taught
    inbox = _folder(tmp_path / "sent", files)
    apart = {"server.passes": 1, "server.step": "per-class"}
    with pytest.raises(ConfigError, match=r"^server\.step: got per-class with the teacher's term; "):
        _distill(plan, inbox, tmp_path / "run", tiny_config(apart))
    _distill(plan, inbox, tmp_path / "off", tiny_config(apart | {"server.teacher": 0.0}))


def test_classes_whose_holders_take_part_at_no_seed_are_named(
    make_samples: Callable[..., Samples], tmp_path: Path
) -> None:
    # One of two clients at each of two seeds: for some seed of the plan, ada at both.
    seed = next(seed for seed in range(99) if not _two(seed).assigned("bob"))
    plan = _two(seed)
    held = {"ada": [4, 2, 0], "bob": [1, 0, 3]}
    files = {name: _file(plan, name, make_samples(counts, plan.sample.shape)) for name, counts in held.items()}
    said: list[Event] = []
    metrics = _distill(plan, _folder(tmp_path / "sent", files), tmp_path / "run", report=said.append)
    lost = plan.classes[2]
    assert (metrics["missing_classes"], metrics["untouched_classes"], metrics["skipped"]) == ([], [lost], 2)
    assert f"not refined, their holders take part at no seed: {lost}" in [event.message for event in said]
    begun, product = load(tmp_path / "run" / "initial"), load(tmp_path / "run" / "distilled")
    assert torch.equal(begun.samples[begun.labels == 2], product.samples[product.labels == 2])
    assert not torch.equal(begun.samples[begun.labels == 0], product.samples[product.labels == 0])


def _two(seed: int) -> Plan:
    return small_plan(clients=("ada", "bob"), participation=0.5, seeds=2, seed=seed)


def test_a_round_whose_refinement_made_the_set_worse_says_so(sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    said: list[Event] = []
    config = tiny_config({"server.passes": 1, "server.lr": 500.0, "server.reach": 1e9, "server.schedule": "constant"})
    metrics = _distill(plan, _folder(tmp_path / "sent", files), tmp_path / "run", config, report=said.append)
    assert metrics["loss"]["after"] > metrics["loss"]["before"]
    (told,) = [event.message for event in said if event.message and "own loss" in event.message]
    assert told.endswith("set server.lr below 500, or server.passes to 0 to keep the set it began with")


def test_images_that_diverge_name_the_rate(sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    config = tiny_config({"server.lr": 1e200, "server.reach": 1e300})
    with pytest.raises(ConfigError, match=r"samples that diverged at server.lr = 1e\+200; .*; fix: choose a smaller"):
        _distill(plan, _folder(tmp_path / "sent", files), tmp_path / "run", config)
    assert not (tmp_path / "run" / "distilled").exists()


def test_the_time_of_a_visit_is_not_the_servers(sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    place, began = _folder(tmp_path / "sent", files), time.perf_counter()
    metrics = _distill(plan, place, tmp_path / "run", visit=lambda _: time.sleep(0.1))
    assert sum(metrics["seconds"].values()) < time.perf_counter() - began - 6 * 0.1


def _changed(content: bytes, metadata: Mapping[str, Any] | None = None, **tensors: np.ndarray) -> bytes:
    size = int.from_bytes(content[:8], "little")
    known = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["collabdm"])
    return save(load_tensors(content) | tensors, {"collabdm": json.dumps(known | dict(metadata or {}))})


def _spoilt(content: bytes, other_plan: bytes) -> dict[str, bytes]:
    """What may be wrong with bob's file, by what the refusal says."""
    own = load_tensors(content)
    poisoned = own["means"].copy()
    poisoned.flat[0] = np.nan
    return {
        "plan ": other_plan,
        "unreadable tensors": content[:-9],
        "another kind of file, or a damaged one": b"PK\x03\x04 something else altogether",
        "another kind of file, or a damaged one ": b"",
        "NaN or infinity in means": _changed(content, means=poisoned),
        "NaN or infinity in images": _changed(content, images=np.full_like(own["images"], np.inf)),
        "means float32[": _changed(content, means=own["means"][:, :-1].copy()),
        "means float64[": _changed(content, means=own["means"].astype(np.float64)),
        "images float32[": _changed(content, images=own["images"][..., :-1].copy()),
        "held out of range": _changed(content, held=own["held"] * 10**15),
        "held out of range ": _changed(content, held=-own["held"]),
        "no samples held": _changed(content, held=own["held"] * 0),
        "labels out of range": _changed(content, labels=own["labels"] + 7),
        "images of a class it does not hold": _changed(content, labels=np.array([1, 2])),
        "encoder fingerprint": _changed(content, {"fingerprint": "0" * 64}),
        "version 2": _changed(content, {"version": 2}),
        "client eve": _changed(content, {"client": "eve"}),
        "'extra'": _changed(content, extra=np.zeros(1)),
    }


def test_every_kind_of_bad_contribution_costs_only_itself(
    sent: Sent, tmp_path: Path, make_samples: Callable[..., Samples]
) -> None:
    plan, files = sent
    others = {name: content for name, content in files.items() if name != "bob"}
    another = plan.model_copy(update={"seed": plan.seed + 1})
    foreign = _file(another, "bob", make_samples(HELD["bob"], plan.sample.shape))
    for number, (mentions, content) in enumerate(_spoilt(files["bob"], foreign).items()):
        told: list[Event] = []
        place = _folder(tmp_path / str(number), others | {"bob": content})
        collected = collect(plan, place, report=told.append)
        assert sorted(collected.contributions) == sorted(collected.sizes) == ["ada", "cid", "dee"]
        assert list(collected.refused) == ["bob.safetensors"], mentions
        reason = collected.refused["bob.safetensors"]
        assert reason.startswith("bob.safetensors: got "), reason
        assert mentions.strip() in reason
        assert reason.isprintable()
        assert [event.message for event in told] == [f"refused {reason}"]


def test_the_round_goes_on_without_a_bad_contribution(sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    others = {name: content for name, content in files.items() if name != "bob"}
    _distill(plan, _folder(tmp_path / "sent", others), tmp_path / "without")
    place, told = _folder(tmp_path / "spoilt", others | {"bob": files["bob"][:-1]}), list[Event]()
    metrics = _distill(plan, place, tmp_path / "run", report=told.append)
    assert list(metrics["refused"]) == ["bob.safetensors"]
    assert metrics["refused"]["bob.safetensors"] in (told[0].message or "")
    assert metrics["missing"] == ["bob"]
    assert set(metrics["bytes"]["up"]) == set(others)
    assert _bytes(tmp_path / "run") == _bytes(tmp_path / "without")
    with pytest.raises(QuorumError, match=r"^usable contributions: got 3; expected at least 4 of 4 clients"):
        _distill(plan, place, tmp_path / "none", terms=Terms(min_clients=4))
    assert not (tmp_path / "none").exists()


def test_a_second_contribution_is_refused(sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    other = _changed(files["ada"], held=load_tensors(files["ada"])["held"] * 2)
    place = _folder(tmp_path / "sent", {**files, "zz copy": files["ada"], "zz other": other})
    collected = collect(plan, place)
    assert sorted(collected.contributions) == sorted(HELD)
    # The same bytes are the same answer; whatever differs is another.
    assert list(collected.refused) == ["zz other.safetensors"]
    assert "a second contribution of client ada" in collected.refused["zz other.safetensors"]


def test_only_files_of_the_right_kind_are_looked_at(sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    place = _folder(tmp_path / "sent", files)
    (place / "notes.txt").write_text("?")
    (place / ".cid.safetensors.1234.part").write_bytes(files["cid"][:50])
    (place / "folder.safetensors").mkdir()
    collected = collect(plan, place)
    assert (sorted(collected.contributions), collected.refused) == (sorted(HELD), {})
    with pytest.raises(DataError, match=r"^contributions: got .*nowhere; expected a folder of files; fix: "):
        collect(plan, tmp_path / "nowhere")


def test_names_of_files_do_not_matter(sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    _distill(plan, _folder(tmp_path / "sent", files), tmp_path / "run")
    renamed = {f"{9 - number} from somewhere": content for number, content in enumerate(files.values())}
    _distill(plan, _folder(tmp_path / "renamed", renamed), tmp_path / "other")
    assert _bytes(tmp_path / "run") == _bytes(tmp_path / "other")


@pytest.mark.parametrize(
    ("names", "least", "needed"),
    [(["ada"], None, 2), ([], None, 2), ([], 0, 1), (["ada", "cid"], 3, 3), (["ada", "bob", "cid", "dee"], 5, 5)],
)
def test_too_few_contributions(names: list[str], least: int | None, needed: int, sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    place = _folder(tmp_path / "sent", {name: files[name] for name in names})
    with pytest.raises(
        QuorumError, match=f"got {len(names)}; expected at least {needed} of 4 clients; fix: "
    ) as raised:
        _distill(plan, place, tmp_path / "run", terms=Terms(min_clients=least))
    assert raised.value.exit_code == 3
    assert not (tmp_path / "run").exists()


def test_half_of_the_clients_are_enough(sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    place = _folder(tmp_path / "sent", {name: files[name] for name in ("ada", "bob")})
    assert _distill(plan, place, tmp_path / "run")["missing"] == ["cid", "dee"]
    alone = _folder(tmp_path / "alone", {"cid": files["cid"]})
    assert _distill(plan, alone, tmp_path / "one", terms=Terms(min_clients=1))["missing"] == ["ada", "bob", "dee"]


def test_a_class_that_nobody_holds_needs_permission(sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    place = _folder(tmp_path / "sent", {"ada": files["ada"]})
    with pytest.raises(DataError, match=r"^classes that nobody holds: got class 1; expected none; fix: .*--allow-miss"):
        _distill(plan, place, tmp_path / "run", terms=Terms(min_clients=1))
    assert not (tmp_path / "run").exists()
    metrics = _distill(plan, place, tmp_path / "run", terms=Terms(min_clients=1, allow_missing=True))
    assert metrics["missing_classes"] == ["class 1"]
    product = load(tmp_path / "run" / "distilled")
    assert product.counts().tolist() == [2, 0, 2]
    assert product.classes == plan.classes


class Stop(Exception):
    """Pulls the plug."""


@pytest.mark.parametrize(("step", "stops"), [("joint", [1]), ("joint", [2, 5]), ("per-class", [4]), ("per-class", [6])])
def test_an_interrupted_refinement_goes_on_to_the_same_bits(
    step: str, stops: list[int], sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    plan, files = sent
    config = tiny_config({"server.passes": 2, "server.lr": 1.0, "server.step": step})
    place = _folder(tmp_path / "sent", files)
    whole = _distill(plan, place, tmp_path / "whole", config)
    seen: list[int] = []

    for stop in stops:

        def visit(refinement: Refinement, stop: int = stop) -> None:
            seen.append(refinement.steps)
            if refinement.steps == stop:
                raise Stop

        with pytest.raises(Stop):
            _distill(plan, place, tmp_path / "run", config, visit=visit)
        assert not (tmp_path / "run" / "distilled").exists()
    metrics = _distill(plan, place, tmp_path / "run", config, visit=lambda r: seen.append(r.steps))
    # Only the step that was under way is made again.
    assert seen == sorted([*range(1, 7), *stops])
    assert _bytes(tmp_path / "run") == _bytes(tmp_path / "whole")
    assert metrics["losses"] == whole["losses"]
    assert not list((tmp_path / "run").glob("*checkpoint*"))


def test_a_checkpoint_of_other_settings_is_not_used(
    sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    plan, files = sent
    place, run = _folder(tmp_path / "sent", files), tmp_path / "run"

    def visit(refinement: Refinement) -> None:
        if refinement.steps == 4:
            raise Stop

    with pytest.raises(Stop):
        _distill(plan, place, run, visit=visit)
    assert (run / "checkpoint.safetensors").exists()
    (place / "dee.safetensors").unlink()
    _distill(plan, place, run)
    _distill(plan, place, tmp_path / "fresh")
    assert _bytes(run) == _bytes(tmp_path / "fresh")


def test_a_finished_round_is_not_computed_again(sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, files = sent
    place, run = _folder(tmp_path / "sent", files), tmp_path / "run"
    first = _distill(plan, place, run)
    calls: list[int] = []

    def counted(*arguments: Any, **others: Any) -> Any:
        calls.append(1)
        return refine(*arguments, **others)

    monkeypatch.setattr(rounds, "refine", counted)
    assert _distill(plan, place, run) == first
    assert calls == []
    # Another set of contributions, or other settings, is another round.
    assert len(_distill(plan, place, run, tiny_config({"server.passes": 1}))["losses"]) == 3
    (place / "dee.safetensors").unlink()
    assert _distill(plan, place, run, tiny_config({"server.passes": 1}))["missing"] == ["dee"]
    assert len(calls) == 2


def test_collected_sizes_and_digests_are_of_the_files(sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    collected = collect(plan, _folder(tmp_path / "sent", files))
    assert collected.digests == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for name, content in files.items():
        own = decode_contribution(content, plan, expected=acceptance(plan))
        assert np.array_equal(own.statistics, collected.contributions[name].statistics)


def test_a_class_that_the_rule_cannot_protect_is_named(tmp_path: Path) -> None:
    clients = ("ada", "bob", "cid", "dee")
    plan = small_plan(clients=clients)
    held = {"ada": [6, 0, 2], "bob": [3, 5, 0], "cid": [2, 1, 4], "dee": [1, 0, 0]}
    own = fingerprint(plan)
    files = {
        name: encode_contribution(replace(made_up(plan, name, held[name]), fingerprint=own), plan) for name in clients
    }
    place = _folder(tmp_path / "sent", files)
    told: list[Event] = []
    for number, settings in enumerate(({"server.aggregation": "trimmed"}, {"server.clip": 2.0})):
        told.clear()
        config = tiny_config(settings)
        metrics = _distill(plan, place, tmp_path / str(number), config, report=told.append)
        assert metrics["unprotected"] == {"class 1": 3, "class 2": 3}
        lines = [event.message for event in told if event.stage == "aggregate"]
        assert lines == [
            "unprotected, fewer than 3 participants hold it: class 1 at 3 of 3 seeds, class 2 at 3 of 3 seeds"
        ]
    everyone = {name: [1, 1, 1] for name in clients}
    for name in clients:
        made = replace(made_up(plan, name, everyone[name]), fingerprint=own)
        (place / f"{name}.safetensors").write_bytes(encode_contribution(made, plan))
    told.clear()
    config = tiny_config({"server.aggregation": "trimmed"})
    assert _distill(plan, place, tmp_path / "all", config, report=told.append)["unprotected"] == {}
    assert [event for event in told if event.stage == "aggregate"] == []


def test_the_rule_decides_what_is_distilled(tmp_path: Path) -> None:
    plan = small_plan(clients=("ada", "bob", "cid"))
    own = fingerprint(plan)
    made = [replace(made_up(plan, name, [2, 2, 2]), fingerprint=own) for name in plan.clients]
    place = _folder(tmp_path / "sent", {c.client: encode_contribution(c, plan) for c in made})
    config = tiny_config({"server.aggregation": "trimmed", "server.lr": 1.0})
    metrics = _distill(plan, place, tmp_path / "run", config)
    start = initial_set(plan, made)
    target = aggregate(plan, made, ServerSpec(aggregation="trimmed"))
    samples, losses = refined(plan, target, start.samples, start.labels, config.server, engine=REFERENCE)
    assert metrics["losses"] == losses
    assert torch.equal(load(tmp_path / "run" / "distilled").samples, samples.float())
    # Another rule is another round: what was distilled by the first is not taken for it.
    assert _distill(plan, place, tmp_path / "run")["losses"] != losses
