"""What the server makes of noisy sums: without the noise, what a round without a promise would have had."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from collabdm.client import contribute
from collabdm.config import ServerSpec
from collabdm.data import Samples
from collabdm.engine import REFERENCE
from collabdm.errors import ConfigError, ContributionError, DataError
from collabdm.matching.embedding import embedder_for
from collabdm.matching.gram import feature_sums
from collabdm.privacy import opening
from collabdm.privacy.accountant import noise_multiplier
from collabdm.privacy.combining import combine
from collabdm.privacy.opening import feature_noise, opened
from collabdm.privacy.summing import bounded_sums
from collabdm.protocol import (
    Contribution,
    Plan,
    acceptance,
    decode_contribution,
    encode_contribution,
    feature_parameters,
    summed_contribution,
)
from collabdm.protocol.sum_vector import sum_layout, whole_sums
from collabdm.server import aggregate, distill
from collabdm.teacher import pooled_equations
from private_plan import images, private_plan


def silent(plan: Plan, client: str, samples: Samples) -> Contribution:
    """A contribution without noise."""
    sums = bounded_sums(plan, samples, engine=REFERENCE)
    return summed_contribution(plan, client, whole_sums(sums, sum_layout(plan, acceptance(plan))))


def sites(plan: Plan) -> tuple[Samples, list[Contribution]]:
    samples = images(plan, 60)
    owner = np.arange(60) % len(plan.clients)
    return samples, [
        silent(plan, name, samples.take(np.flatnonzero(owner == k))) for k, name in enumerate(plan.clients)
    ]


def test_without_noise_it_is_what_all_samples_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "noise_multiplier", lambda epsilon, delta: 1e-9)
    plan = private_plan(privacy={"epsilon": 1.0, "samples": 64})
    samples, contributions = sites(plan)
    (one,) = opened(plan, contributions)
    assert np.array_equal(one.held, samples.counts())
    assert one.gram is not None
    assert plan.features is not None
    embedder = embedder_for(plan.features, plan.sample.shape, REFERENCE)
    parameters = embedder.placed(feature_parameters(plan))
    expected = feature_sums(embedder, parameters, samples, plan.sample).moments()
    np.testing.assert_allclose(one.gram.means, expected.means, atol=0.02)
    np.testing.assert_allclose(one.gram.scatter, expected.scatter, atol=0.02)
    target = aggregate(plan, contributions)
    encoder = embedder_for(plan.network, plan.sample.shape, REFERENCE)
    for t in range(plan.seeds):
        for y in range(3):
            shown = plan.sample.tensors(
                samples.values[samples.labels == y], device="cpu", dtype=encoder.engine.sample_dtype
            )
            seen = encoder.embed(
                encoder.encoder(plan.encoder_seed(t)), plan.sample.augment(shown, plan.augmentation(t, y))
            )
            mean = plan.statistic.terms[0].of(seen).mean(dim=0).numpy()
            np.testing.assert_allclose(target.values[t, y], mean, atol=1e-3)


def test_a_class_that_does_not_stand_out_from_the_noise_is_held_by_nobody() -> None:
    plan = private_plan(privacy={"epsilon": 0.5})
    contributions = sites(plan)[1]
    assert not opened(plan, contributions)[0].held.any()


def test_the_noise_of_the_equations_is_that_of_all_sites() -> None:
    plan = private_plan()
    layout = sum_layout(plan, acceptance(plan))
    per_site = noise_multiplier(1.0, 1e-5) / layout.weights["gram"] / 2**0.5 * layout.features
    assert feature_noise(plan, 1) == pytest.approx(per_site)
    assert feature_noise(plan, 9) == pytest.approx(3 * per_site)


def test_noisy_equations_are_positive_and_have_one_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = private_plan(privacy={"epsilon": 100.0, "samples": 64})
    _, contributions = sites(plan)
    monkeypatch.setattr(opening, "noise_multiplier", lambda epsilon, delta: 0.05)
    equations = pooled_equations(plan, contributions)
    assert equations.noise > 0
    assert np.linalg.eigvalsh(equations.gram).min() > -1e-9
    assert len(set(equations.scale)) == 1


def test_a_plan_without_a_promise_is_left_alone() -> None:
    plan = private_plan(privacy=None)
    assert opened(plan, []) == []
    assert feature_noise(plan, 3) == 0


def test_a_whole_round_under_a_promise_ends_in_a_set_that_names_it(tmp_path: Path) -> None:
    plan = private_plan(privacy={"epsilon": 100.0, "samples": 2000}, ipc=2)
    samples = images(plan, 900)
    owner = np.arange(900) % len(plan.clients)
    parts = [samples.take(np.flatnonzero(owner == k)) for k in range(len(plan.clients))]
    answers = [
        contribute(plan, name, part, engine=REFERENCE, insecure_noise_seed=k)
        for k, (name, part) in enumerate(zip(plan.clients, parts, strict=True))
    ]
    sent = [encode_contribution(one, plan) for one in answers]
    # Only sums, three bytes a number, and no counts or samples beside them.
    size = sum_layout(plan, acceptance(plan)).size
    assert [set(load(content)) for content in sent] == [{"sums", "insecure"}] * 3
    assert all(3 * size < len(content) < 3 * size + 600 for content in sent)
    read = [decode_contribution(content, plan) for content in sent]
    assert [one.insecure for one in read] == [(name,) for name in plan.clients]
    made = distill(plan, read, ServerSpec(passes=1), engine=REFERENCE)
    assert made.facts["privacy"] == plan.model_dump(mode="json")["privacy"]
    assert made.facts["init"] == "noise"
    assert made.counts().tolist() == [2, 2, 2]
    # Where noise can be taken off, even of one site among several that a relay added, nothing is promised.
    assert made.facts["insecure_noise"] == list(plan.clients)
    honest = [replace(one, insecure=()) for one in read]
    added = combine(plan, [honest[0], read[1]])
    assert decode_contribution(encode_contribution(added, plan), plan).insecure == (plan.clients[1],)
    for answers, promises in ((honest, True), ([added, honest[2]], False)):
        made = distill(plan, answers, ServerSpec(passes=1), engine=REFERENCE)
        made.save(tmp_path / f"{promises}")
        card = (tmp_path / f"{promises}" / "README.md").read_text()
        assert ("**Differential privacy:**" in card) == promises
        assert ("**NO differential privacy.**" in card) != promises


def test_a_site_cannot_say_of_another_that_its_noise_is_known() -> None:
    plan = private_plan()
    made = contribute(plan, "ada", images(plan, 5), engine=REFERENCE)
    assert made.insecure == ()
    for names in (("bob",), ("ada", "bob"), ("bob", "ada")):
        content = encode_contribution(replace(made, insecure=names), plan)
        with pytest.raises(
            ContributionError, match=r"insecure \[.*expected numbers of the clients whose sums these are"
        ):
            decode_contribution(content, plan)


def test_noise_is_never_the_same_twice_unless_it_is_asked_for() -> None:
    plan = private_plan()
    samples = images(plan, 5)
    first, second = (contribute(plan, "ada", samples, engine=REFERENCE).sums for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first != second).mean() > 0.5
    same = [contribute(plan, "ada", samples, engine=REFERENCE, insecure_noise_seed=4).sums for _ in range(2)]
    assert same[0] is not None
    assert np.array_equal(same[0], same[1])  # type: ignore[arg-type]


def test_a_plan_that_protects_groups_wants_to_know_them() -> None:
    plan = private_plan(privacy={"epsilon": 1.0, "unit": "group"})
    with pytest.raises(DataError, match=r"groups that plan\.privacy protects: got none; expected one a sample"):
        contribute(plan, "ada", images(plan, 5), engine=REFERENCE)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"statistics": "mean", "features": None, "gram_bits": None}, "statistics of direction, gram or both"),
        ({"local": {"method": "dm"}}, r"local.method = none"),
        ({"features": {"name": "patches", "width": 4}}, "features with norm = layer"),
        ({"participation": 0.5}, "participation = 1"),
        ({"min_held": 3}, "min_held = 1"),
        ({"most_held": 3}, "no most_held"),
        ({"privacy": {"epsilon": 0}}, "epsilon"),
        ({"privacy": {"epsilon": 1, "delta": 0}}, "delta"),
        ({"privacy": {"epsilon": 1, "shares": {"means": 0.9}}}, "the shares must add up to 1"),
    ],
)
def test_what_no_promise_can_be_made_for_is_no_plan(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        private_plan(**change)


def test_no_rule_looks_at_single_sites() -> None:
    plan = private_plan()
    with pytest.raises(ConfigError, match=r"a rule with plan\.privacy"):
        aggregate(plan, [], ServerSpec(aggregation="trimmed"))


def test_a_site_that_holds_more_than_all_may_is_told() -> None:
    plan = private_plan(privacy={"epsilon": 1.0, "samples": 4})
    with pytest.raises(DataError, match="got 5 at this site alone; expected at most 4 of all sites"):
        contribute(plan, "ada", images(plan, 5), engine=REFERENCE)
