"""What one client does: sums over its data under each seed (L_k), and a local distillation (S_k)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict, Unpack

import numpy as np

from collabdm.checking import LARGEST_VALUE
from collabdm.config import Config
from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.engine.memory import begin_stage
from collabdm.engine.plain import plain_torch
from collabdm.errors import DataError, PlanError, explain
from collabdm.local import distill_locally
from collabdm.matching.embedding import class_sums, embedder_for
from collabdm.matching.gram import FeatureMoments, FeatureSums, feature_sums
from collabdm.matching.statistic import Term, joint_terms, term_rows
from collabdm.matching.sums import Sums
from collabdm.networks import build_network
from collabdm.planning import engine_for
from collabdm.privacy import enough_held, few_text, release, too_few
from collabdm.privacy.keys import SiteKey
from collabdm.privacy.masks import check_key, masked
from collabdm.privacy.noise import Source, insecure_source, noisy, operating_system
from collabdm.privacy.summing import bounded_sums
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Contribution, Plan, feature_parameters, fingerprint, per_seed, summed_contribution
from collabdm.randomness import Stream
from collabdm.storage.kept_results import Blocks, KeptResults, result_key

__all__ = ["SiteOptions", "client_sums", "contribute", "sums_key", "tell_left_out"]


class SiteOptions(TypedDict, total=False):
    """What a site alone brings to a plan with a promise of privacy.

    `groups`: [n], to whom each sample belongs, where groups are protected. `key`: the site's own, where the plan has
    masks. `insecure_noise_seed`: noise that whoever knows the number can take off again, in place of the operating
    system's, of which no two contributions are alike.
    """

    groups: np.ndarray | None
    key: SiteKey | None
    insecure_noise_seed: int | None


LARGEST_HALF = float(np.finfo(np.float16).max)


@plain_torch()
def contribute(
    plan: Plan,
    client: str,
    samples: Samples,
    *,
    engine: Engine | None = None,
    kept: KeptResults | None = None,
    report: Report = silent,
    **own: Unpack[SiteOptions],
) -> Contribution:
    """ClientDM of Algorithm 1 (lines 16-23) for one client of the plan.

    `engine`: how it is computed; by default as suits the plan's work and this machine. `kept` keeps the two costly
    results by the digest of what they depend on, so that they are computed once for all plans that agree on them, and
    not again after an interruption.
    A class of which it holds fewer than `plan.min_held` is left out of everything, which is told.
    Where the plan makes a promise of privacy, nothing but noisy sums is sent, and nothing is kept; `own` are the
    options for it: `groups`, `key` (`make_keys`) and `insecure_noise_seed`, as `SiteOptions` says. With masks, answer a
    plan once: two answers under the same masks show their difference.
    Raises `PlanError` where the plan does not name the client, its local stage diverges or its statistics are too large
    to be sent, `DataError` where the samples do not fit the plan, and what `privacy.masks.check_key` raises.
    """
    if unknown := set(own) - SiteOptions.__optional_keys__:
        raise TypeError(f"contribute() has no option {', '.join(sorted(unknown))}")
    _check(plan, client, samples)
    check_key(plan, client, own.get("key"))
    if plan.privacy is not None:
        engine = engine or engine_for(Config(), plan, report=report)
        return _promised(plan, client, samples, engine, own, report)
    tell_left_out(plan, client, samples, report)
    samples = _without_few(plan, client, samples)
    kept, engine = kept or KeptResults(), engine or engine_for(Config(), plan, report=report)
    sums = _kept_sums(plan, client, samples, engine, kept, report)
    local = _kept_local(plan, client, samples, sums, engine, kept, report)
    # Everything that leaves the site but for the local set is made of what this step returns.
    released = release(sums)
    statistics = released.finished(plan.statistic)
    _check_statistics(plan, statistics)
    moments = released.gram.moments() if released.gram else None
    if moments is not None:
        _check_gram(moments)
    return Contribution(
        client=client,
        held=samples.counts(),
        statistics=statistics,
        samples=local["samples"],
        labels=local["labels"],
        fingerprint=fingerprint(plan),
        gram=moments,
    )


def _promised(
    plan: Plan, client: str, samples: Samples, engine: Engine, own: SiteOptions, report: Report
) -> Contribution:
    """Bounded sums and noise, under masks where the plan has them: all that leaves the site."""
    groups, seed, key = _groups(plan, own.get("groups"), len(samples)), own.get("insecure_noise_seed"), own.get("key")
    source: Source = operating_system if seed is None else insecure_source(seed)
    assert plan.privacy is not None
    if len(samples) > (most := plan.privacy.samples):
        # Integers are made for so many: the sums of more would wrap around unseen.
        got, fix = f"{len(samples)} at this site alone", "ask for a plan with a larger plan.privacy.samples"
        raise DataError(explain(f"{plan.sample.plural}", got=got, expected=f"at most {most} of all sites", fix=fix))
    begin_stage()
    sums = bounded_sums(plan, samples, engine=engine, groups=groups, client=client, report=report)
    whole = noisy(plan, sums, source)
    made = summed_contribution(plan, client, whole) if key is None else masked(plan, key, whole)
    return made if seed is None else replace(made, insecure=(client,))


def _groups(plan: Plan, groups: np.ndarray | None, count: int) -> np.ndarray | None:
    """Raise `DataError` where groups are missing that the plan protects, or are not one for each sample."""
    assert plan.privacy is not None
    if plan.privacy.unit == "sample":
        return None
    if groups is None or len(groups) != count:
        got = "none" if groups is None else f"{len(groups)} for {count} samples"
        fix = "say to whom each sample belongs (groups=, or --unit-column COLUMN)"
        raise DataError(explain("groups that plan.privacy protects", got=got, expected="one a sample", fix=fix))
    return groups


def tell_left_out(plan: Plan, client: str, samples: Samples, report: Report) -> None:
    """Say in one line of which classes `contribute` sends nothing, because the client holds too few samples."""
    if few := too_few(samples, plan.min_held):
        why = f"it holds fewer than {plan.min_held} {plan.sample.plural} of them (plan.min_held)"
        told = f"client {client} sends nothing of {few_text(few)}: {why}"
        report(Event(stage="contribution", client=client, done=0, total=1, message=told))


def client_sums(
    plan: Plan,
    client: str,
    samples: Samples,
    *,
    engine: Engine,
    blocks: Blocks | None = None,
    report: Report = silent,
) -> np.ndarray:
    """Sums over the embeddings of the drawn batch, per assigned seed and class held (line 22).

    float64 [seeds, held classes, rows, d], the rows of `_terms(plan)` one after another. Every class's batch is
    `plan.batch` samples without replacement, or all of them if fewer. Seeds whose rows `blocks` has are not computed
    again.
    """
    blocks = blocks or Blocks()
    embedder, terms = embedder_for(plan.network, plan.sample.shape, engine), _terms(plan)
    members = {int(y): samples.of_class(int(y)) for y in np.flatnonzero(samples.counts())}
    assigned = plan.assigned(client)
    values = np.empty((len(assigned), len(members), term_rows(terms, embedder.features), embedder.features))
    for row, found in enumerate(blocks.rows):
        values[row] = found
    for row, t in list(enumerate(assigned))[len(blocks.rows) :]:
        encoder = embedder.encoder(plan.encoder_seed(t))
        drawn = {
            y: rows[Stream(plan.seed, "batch", client, t, y).choose(len(rows), plan.batch)]
            for y, rows in members.items()
        }
        augmentations = {y: plan.augmentation(t, y) for y in members}
        values[row] = class_sums(embedder, encoder, samples.values, drawn, augmentations, plan.sample, terms)
        blocks.add(values[row])
        report(Event(stage="statistics", client=client, done=row + 1, total=len(assigned)))
    return values


def sums_key(plan: Plan, client: str, samples: Samples, *, engine: Engine) -> str:
    """The key under which `contribute` keeps what `client_sums` computes."""
    terms = [term.name for term in _terms(plan)]
    return result_key("statistics", _basis(plan, client, samples, engine) | {"terms": terms})


def _terms(plan: Plan) -> tuple[Term, ...]:
    """What is summed: for the server, and for a local method that matches the same sums."""
    statistics = (plan.statistic, plan.local.statistic)
    return joint_terms(statistic for statistic in statistics if statistic is not None)


def _kept_sums(plan: Plan, client: str, samples: Samples, engine: Engine, kept: KeptResults, report: Report) -> Sums:
    terms, seeds = _terms(plan), plan.assigned(client)
    gram = _kept_gram(plan, client, samples, engine, kept, report)
    drawn = {y: min(plan.batch, int(held)) for y, held in enumerate(samples.counts()) if held}
    if not terms:
        features = build_network(plan.network, plan.sample.shape, classes=1).features
        nothing = np.zeros((len(seeds), len(drawn), 0, features))
        return Sums(terms=(), seeds=(), drawn=drawn, values=nothing, gram=gram)
    key = sums_key(plan, client, samples, engine=engine)
    begin_stage()

    def computed() -> dict[str, np.ndarray]:
        blocks = kept.blocks(key)
        return {"values": client_sums(plan, client, samples, engine=engine, blocks=blocks, report=report)}

    return Sums(terms=terms, seeds=seeds, drawn=drawn, values=kept.compute(key, computed)["values"], gram=gram)


def _kept_gram(
    plan: Plan, client: str, samples: Samples, engine: Engine, kept: KeptResults, report: Report
) -> FeatureSums | None:
    """The second-order sums over all samples of the client; None where the plan asks for none."""
    if plan.features is None:
        return None
    basis = {
        "data": samples.digest(),
        "engine": engine.model_dump(exclude={"threads", "processes"}),
        "plan": plan.model_dump(mode="json", include={"seed", "sample", "features", "classes", "augment"}),
    }
    spec = plan.features
    begin_stage()

    def computed() -> dict[str, np.ndarray]:
        embedder = embedder_for(spec, plan.sample.shape, engine)
        parameters = embedder.placed(feature_parameters(plan))
        found = feature_sums(embedder, parameters, samples, plan.sample, plan.augment)
        report(Event(stage="gram", client=client, done=1, total=1))
        return {"counts": found.counts, "first": found.first, "second": found.second}

    return FeatureSums(**kept.compute(result_key("gram", basis), computed))


def _kept_local(
    plan: Plan,
    client: str,
    samples: Samples,
    sums: Sums,
    engine: Engine,
    kept: KeptResults,
    report: Report,
) -> Mapping[str, np.ndarray]:
    """S_k: `samples` and `labels`. Raises `PlanError` where it diverges."""
    local = plan.local.model_dump(mode="json", exclude_none=True)
    asked = {"local": local, "ipc": plan.ipc, "tiles": plan.tiles}
    key = result_key("local", _basis(plan, client, samples, engine) | asked)
    begin_stage()

    def computed() -> dict[str, np.ndarray]:
        checkpoint = kept.checkpoint(key)
        return distill_locally(plan, client, samples, sums, engine=engine, checkpoint=checkpoint, report=report)

    made = kept.compute(key, computed)
    if not np.isfinite(made["samples"]).all():
        setting, rate = plan.local.rate
        got, fix = f"{plan.sample.plural} that diverged at {setting} = {rate}", f"ask for a smaller {setting}"
        raise PlanError(explain("local distillation", got=got, expected="finite values", fix=fix))
    return made


def _basis(plan: Plan, client: str, samples: Samples, engine: Engine) -> dict[str, object]:
    """All that the statistics depend on."""
    others = {"version", "statistics", "features", "gram_bits", "encoding", "local", "ipc", "tiles"}
    others |= {"most_held", "min_held"}
    return {
        "client": client,
        "data": samples.digest(),
        "engine": engine.model_dump(exclude={"threads", "processes"}),
        "plan": plan.model_dump(mode="json", exclude=others),
    }


def _without_few(plan: Plan, client: str, samples: Samples) -> Samples:
    """Only the classes of which the plan takes anything. Raises `DataError` where there is none."""
    enough = enough_held(samples, plan.min_held)
    if not len(enough):
        got, expected = few_text(too_few(samples, plan.min_held)), f"{plan.min_held} or more of a class (plan.min_held)"
        fix = "leave this client out, or ask for a plan with a smaller plan.min_held"
        raise DataError(explain(f"{plan.sample.plural} of client {client}", got=got, expected=expected, fix=fix))
    return enough


def _check_statistics(plan: Plan, statistics: np.ndarray) -> None:
    """Raise `PlanError` where the server would refuse them, or their encoding would clip them unseen."""
    largest = float(max(statistics.max(initial=0), -statistics.min(initial=0)))
    what = f"the statistic {per_seed(plan.statistics)}"
    if not largest <= LARGEST_VALUE:
        got = f"{largest:.3g}" if np.isfinite(largest) else "NaN or infinity"
        expected, fix = f"values within +-{LARGEST_VALUE:g}", "ask for a plan with another network or statistic"
        raise PlanError(explain(what, got=got, expected=expected, fix=fix))
    if plan.encoding == "fp16" and largest > LARGEST_HALF:
        expected, fix = f"values within +-{LARGEST_HALF:g} for fp16", "ask for a plan with plan.encoding = fp32"
        raise PlanError(explain(what, got=f"{largest:.6g}", expected=expected, fix=fix))


def _check_gram(moments: FeatureMoments) -> None:
    """Raise `PlanError` where the server would refuse it, or fp16 would clip the means unseen."""
    # A root of what is below zero by rounding is none; what travels is the root of the rest.
    spread = np.sqrt(np.maximum(np.diagonal(moments.scatter), 0.0))
    for what, values, most in (("mean", moments.means, LARGEST_HALF), ("standard deviation", spread, LARGEST_VALUE)):
        largest = float(np.abs(values).max(initial=0))
        if not largest <= most:
            got = f"a {what} of {largest:.6g}" if np.isfinite(largest) else "NaN or infinity"
            fix = "ask for a plan with another plan.features"
            raise PlanError(explain("the statistic gram", got=got, expected=f"a {what} within +-{most:g}", fix=fix))


def _check(plan: Plan, client: str, samples: Samples) -> None:
    if client not in plan.clients:
        named = ", ".join(plan.clients[:10])
        raise PlanError(explain("client", got=client, expected=f"one of the plan's: {named}", fix="pass --client NAME"))
    if not len(samples):
        raise DataError(explain("samples of the client", got=0, expected="at least one", fix="leave this client out"))
    plan.sample.check(samples.shape)
    plan.sample.check_values(samples.values, any_range=samples.any_range)
    if samples.classes != plan.classes:
        fix = "name the classes as the plan does, in its order (Samples.with_classes)"
        raise DataError(explain("classes", got=samples.classes[:12], expected=str(plan.classes[:12]), fix=fix))
