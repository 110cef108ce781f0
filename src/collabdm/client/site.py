"""What one client does: sums over its data, and a local distillation (S_k); or noisy sums alone."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict, Unpack

import numpy as np

from collabdm.checking import LARGEST_VALUE
from collabdm.client.sums import basis, kept_sums
from collabdm.config import Config
from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.engine.memory import begin_stage
from collabdm.engine.plain import plain_torch
from collabdm.errors import DataError, PlanError, did_you_mean, explain
from collabdm.local import distill_locally
from collabdm.matching.gram import FeatureMoments
from collabdm.matching.sums import Sums
from collabdm.planning import engine_for
from collabdm.privacy import enough_held, few_text, release, too_few
from collabdm.privacy.keys import SiteKey
from collabdm.privacy.masks import check_key, masked
from collabdm.privacy.noise import Source, insecure_source, noisy, operating_system
from collabdm.privacy.summing import bounded_sums
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Contribution, Plan, fingerprint, per_seed, summed_contribution
from collabdm.storage.kept_results import KeptResults, result_key

__all__ = ["SiteOptions", "check_client", "check_fits", "contribute", "tell_left_out"]


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
    check_fits(plan, client, samples)
    check_key(plan, client, own.get("key"))
    if plan.privacy is not None:
        engine = engine or engine_for(Config(), plan, report=report)
        return _promised(plan, client, samples, engine, own, report)
    tell_left_out(plan, client, samples, report)
    samples = _without_few(plan, client, samples)
    kept, engine = kept or KeptResults(), engine or engine_for(Config(), plan, report=report)
    sums = kept_sums(plan, client, samples, engine, kept, report)
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
    key = result_key("local", basis(plan, client, samples, engine) | asked)
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


def check_client(plan: Plan, client: str) -> None:
    """Raise `PlanError` where the plan names no such client."""
    if client not in plan.clients:
        expected = f"one of the plan's: {', '.join(plan.clients[:10])}"
        fix = did_you_mean(client, plan.clients, "pass --client NAME")
        raise PlanError(explain("client", got=client, expected=expected, fix=fix))


def check_fits(plan: Plan, client: str, samples: Samples) -> None:
    """Whether the plan names the client and the samples are such as it asks for. Raises `PlanError` or `DataError`."""
    check_client(plan, client)
    if not len(samples):
        raise DataError(explain("samples of the client", got=0, expected="at least one", fix="leave this client out"))
    plan.sample.check(samples.shape)
    plan.sample.check_values(samples.values, any_range=samples.any_range)
    if samples.classes != plan.classes:
        fix = "name the classes as the plan does, in its order (Samples.with_classes)"
        raise DataError(explain("classes", got=samples.classes[:12], expected=str(plan.classes[:12]), fix=fix))
