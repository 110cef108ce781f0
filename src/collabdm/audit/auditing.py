"""Auditing a simulated run: the same round again and again on the same data, by coin with canaries and without.

The run itself holds no canary. What is found is what such a round reveals, with the run's settings, data and clients.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from collabdm.audit.attacks import ATTACKS, ON_THE_SET, Seen, attacks_for
from collabdm.audit.canaries import Canaries, draw_canaries, included, with_canaries
from collabdm.audit.likelihood import comparable, likelihood_ratios, rates
from collabdm.audit.neighbours import Nearness, nearness
from collabdm.audit.one_run import epsilon_at_least, guesses
from collabdm.client import contribute
from collabdm.config import Config
from collabdm.data import Dataset
from collabdm.distilled import DistilledSet
from collabdm.engine import Engine
from collabdm.errors import ConfigError, explain
from collabdm.methods import method_named
from collabdm.planning import make_plan
from collabdm.progress import Event, Report, silent
from collabdm.protocol import decode_contribution, encode_contribution
from collabdm.randomness import Stream
from collabdm.server import distill
from collabdm.simulation.sharing import parts_of
from collabdm.simulation.site_keys import public_halves, site_keys
from collabdm.storage.files import read_json, write_json
from collabdm.storage.kept_results import KeptResults

__all__ = ["FEWEST_ROUNDS", "AuditSpec", "audited"]

FEWEST_ROUNDS = 6
"""Each canary needs two shadows with it and two without."""
_DELTA = 1e-5


@dataclass(frozen=True, kw_only=True)
class AuditSpec:
    """How much is tried: at most `canaries` samples with false labels, in `rounds` rounds; `seconds`: no round is begun
    after so many, once there are `FEWEST_ROUNDS`. `alone`: each canary is the only sample of its class at its client.
    """

    canaries: int = 100
    rounds: int = 16
    alone: bool = False
    seconds: float | None = None


def audited(
    dataset: Dataset,
    config: Config,
    made: DistilledSet,
    folder: Path,
    spec: AuditSpec,
    *,
    engine: Engine,
    report: Report = silent,
) -> dict[str, Any]:
    """What the attacks find on rounds with `config`, and how near `made`, the run's own set, lies to its data.

    Plain JSON: `canaries`, `rounds`, `attacks` (by name: `true_positives` at `false_positives`, `auc`, and
    `epsilon_at_least`, from the first round alone, with 95 % confidence) and `nearness`. Scores of finished rounds lie
    in `folder`, by which an interrupted audit goes on. Raises `ConfigError` for a method without a round or too few
    canaries and rounds, and what `draw_canaries` raises.
    """
    _check(config, spec)
    parts = parts_of(config, dataset)
    canaries = draw_canaries(dataset, parts, count=spec.canaries, alone=spec.alone, seed=config.seed)
    audit = _Audit(dataset=dataset, config=config, parts=parts, canaries=canaries, folder=folder, engine=engine)
    member = np.stack([included(len(canaries), number, seed=config.seed) for number in range(spec.rounds)])
    _check_coins(member)
    found, end = list[dict[str, list[float]]](), None if spec.seconds is None else time.monotonic() + spec.seconds
    while len(found) < spec.rounds:
        done = len(found)
        if end is not None and time.monotonic() > end and done >= FEWEST_ROUNDS and comparable(member[:done]):
            told = f"the budget is spent: {done} of {spec.rounds} rounds"
            report(Event(stage="audit", done=done, total=spec.rounds, message=told))
            break
        found.append(audit.scores(done))
        report(Event(stage="audit", done=done + 1, total=spec.rounds))
    promise = config.plan.privacy
    delta = promise.delta if promise is not None else _DELTA
    return {
        "canaries": len(canaries),
        "alone": spec.alone,
        "rounds": len(found),
        "delta": delta,
        "attacks": {
            name: {"sees": "set" if name in ON_THE_SET else "contributions"}
            | _found(np.array([one[name] for one in found]), member[: len(found)], delta)
            for name in found[0]
        },
        "nearness": asdict(_nearness(dataset, made, config.seed)),
        "promise": promise.model_dump(mode="json") if promise is not None else None,
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class _Audit:
    """The rounds that are held, one for each number: the same but for the coins, and for noise."""

    dataset: Dataset
    config: Config
    parts: Mapping[str, np.ndarray]
    canaries: Canaries
    folder: Path
    engine: Engine

    def scores(self, number: int) -> dict[str, list[float]]:
        """Every attack's scores of all canaries in a round, computed once."""
        canaries = self.canaries
        path = self.folder / f"{'alone-' if canaries.alone else ''}{len(canaries)}-round-{number}.json"
        if path.exists():
            return read_json(path, dict)
        seen = self._seen(number)
        scores = {name: ATTACKS[name](seen, canaries).tolist() for name in attacks_for(seen.plan)}
        write_json(path, scores)
        return scores

    def _seen(self, number: int) -> Seen:
        """The round, encoded as between real sites. Sites without canaries do their work once."""
        keys = site_keys(self.config, self.parts)
        plan = make_plan(self.config, clients=self.parts, preset=self.dataset.preset, keys=public_halves(keys))
        chosen = included(len(self.canaries), number, seed=self.config.seed)
        held = with_canaries(self.dataset.train, self.parts, self.canaries, chosen)
        kept = KeptResults(self.folder / "kept")
        sent = [
            encode_contribution(contribute(plan, name, own, engine=self.engine, kept=kept, key=keys.get(name)), plan)
            for name, own in sorted(held.items())
        ]
        received = [decode_contribution(content, plan) for content in sent]
        distilled = distill(plan, received, self.config.server, engine=self.engine)
        return Seen(plan=plan, contributions=received, distilled=distilled, engine=self.engine)


def _check(config: Config, spec: AuditSpec) -> None:
    method = method_named(config.method)
    if method.source != "round" or method.central:
        fix = "audit a run of collabdm, collabdm-pae or local-dm"
        got, expected = f"a run of {config.method}", "a run of a method in which sites send contributions"
        raise ConfigError(explain("audit", got=got, expected=expected, fix=fix))
    if config.repeats > 1:
        fix = "audit one of its folders repeat-N"
        raise ConfigError(explain("audit", got=f"a run with {config.repeats} repeats", expected="one round", fix=fix))
    if config.plan.privacy is not None and config.plan.privacy.unit == "group":
        fix = "audit the same settings with plan.privacy.unit = sample"
        got = "a run whose promise of privacy is for groups"
        raise ConfigError(explain("audit", got=got, expected="a promise for samples", fix=fix))
    if spec.rounds < FEWEST_ROUNDS or spec.canaries < 1:
        got = f"{spec.rounds} rounds, {spec.canaries} canaries"
        expected = f"at least {FEWEST_ROUNDS} rounds and 1 canary"
        raise ConfigError(explain("audit", got=got, expected=expected, fix="ask for more (--rounds, --canaries)"))


def _check_coins(member: np.ndarray) -> None:
    """Raise `ConfigError` where the coins fell so that nothing can be compared, before anything is computed."""
    if not comparable(member):
        rounds, count = member.shape
        got = f"{count} in {rounds} rounds"
        expected = "some that are in the data in at least two other rounds, and missing in at least two"
        raise ConfigError(explain("canaries of the audit", got=got, expected=expected, fix="ask for more rounds"))


def _found(scores: np.ndarray, member: np.ndarray, delta: float) -> dict[str, float | int | None]:
    """What one attack reaches: `scores` [rounds, m]."""
    reached = rates(likelihood_ratios(scores, member), member)
    count = scores.shape[1]
    guessed = max(2, count // 2)
    right = guesses(scores[0], member[0], guessed)
    bound = epsilon_at_least(right, guessed, count=count, delta=delta)
    return asdict(reached) | {"right": right, "guessed": guessed, "epsilon_at_least": bound}


def _nearness(dataset: Dataset, made: DistilledSet, seed: int) -> Nearness:
    """Of the run's own set: its samples against as many training as test samples."""
    count, stream = min(len(dataset.train), len(dataset.test), 5000), Stream(seed, "nearness")
    training, unseen = (
        made.sample.tensors(part.values[np.sort(stream.choose(len(part), count))], device="cpu", dtype=torch.float32)
        for part in (dataset.train, dataset.test)
    )
    return nearness(made.expanded().samples.float().numpy(), training.numpy(), unseen.numpy())
