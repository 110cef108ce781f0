"""Scores of canaries, each larger where the canary seems to be in a round: by the set, and by what the server got."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collabdm.audit.canaries import Canaries
from collabdm.audit.neighbours import nearest
from collabdm.distilled import DistilledSet
from collabdm.engine import Engine
from collabdm.evaluation.judging import training_set
from collabdm.evaluation.own import own_network
from collabdm.matching.embedding import embedder_for
from collabdm.privacy.opening import opened
from collabdm.protocol import Contribution, Plan
from collabdm.teacher import pooled_equations, teacher_of
from collabdm.training.loop import logits, train
from collabdm.training.recipes import RECIPES

__all__ = ["ATTACKS", "ON_THE_SET", "Seen", "attacks_for"]

_ABSENT = -1.0
# A network for every round: short, as nobody looks at its accuracy.
_SHORT = {"count": 1, "most_samples": 60_000}


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """One round as attackers see it: its plan, what came in, and the set that was made."""

    plan: Plan
    contributions: Sequence[Contribution]
    distilled: DistilledSet
    engine: Engine


def attacks_for(plan: Plan) -> tuple[str, ...]:
    """Names of the attacks on a round of this plan."""
    without = set() if plan.features is not None else {"teacher"}
    without |= {"means"} if not plan.statistic.terms or plan.statistic.pooled else set()
    return tuple(name for name in ATTACKS if name not in without)


def _nearest(seen: Seen, canaries: Canaries) -> np.ndarray:
    """How near a sample of the set with the canary's label lies: minus the distance."""
    shown, scores = _shown(seen, canaries).numpy(), np.full(len(canaries), -np.inf)
    for chosen in (seen.distilled, seen.distilled.expanded()):
        samples, labels = chosen.samples.float().numpy(), chosen.labels.numpy()
        for y in np.unique(canaries.samples.labels):
            mine = canaries.samples.labels == y
            if (labels == y).any():
                scores[mine] = np.maximum(scores[mine], -nearest(shown[mine], samples[labels == y]))
    return np.where(np.isfinite(scores), scores, -1e3)


def _network(seen: Seen, canaries: Canaries) -> np.ndarray:
    """How much a network that was trained on the set believes the canary's label: log p / (1 - p), as LiRA takes it."""
    made, engine = training_set(seen.distilled), seen.engine
    spec, classes = own_network(seen.distilled), len(seen.plan.classes)
    parameters = train(
        made, spec, classes=classes, recipe=RECIPES["fast"].model_copy(update=_SHORT), seed=0, engine=engine
    )
    said = logits(parameters, canaries.samples.values, spec, classes=classes, sample=seen.plan.sample, engine=engine)
    return _log_odds(said, canaries.samples.labels)


def _teacher(seen: Seen, canaries: Canaries) -> np.ndarray:
    """The same of the additive teacher."""
    equations = pooled_equations(seen.plan, seen.contributions)
    teacher = teacher_of(seen.plan, equations, seen.engine)
    shown = _shown(seen, canaries).to(seen.engine.device, seen.engine.sample_dtype)
    return _log_odds(teacher.logits(shown), canaries.samples.labels)


def _means(seen: Seen, canaries: Canaries) -> np.ndarray:
    """How far the statistics lie towards the canary's own embeddings, which the server can compute for any sample: the
    share of a class's mean that would be due to it."""
    plan, senders = seen.plan, {one.client: _Sender(seen.plan, one) for one in opened(seen.plan, seen.contributions)}
    # Under a promise all sites are one.
    only = next(iter(senders.values()))
    towards, lengths = np.zeros(len(canaries)), np.zeros(len(canaries))
    embedder, shown = embedder_for(plan.network, plan.sample.shape, seen.engine), _shown(seen, canaries)
    labels, term = canaries.samples.labels, plan.statistic.terms[0]
    for t in range(plan.seeds):
        encoder = embedder.encoder(plan.encoder_seed(t))
        for y in np.unique(labels).tolist():
            mine = np.flatnonzero(labels == y)
            given = shown[torch.from_numpy(mine)].to(seen.engine.device, seen.engine.sample_dtype)
            embedded = embedder.embed(encoder, plan.sample.augment(given, plan.augmentation(t, y)))
            own = term.of(embedded)[:, 0].double().cpu().numpy()
            centre = own.mean(axis=0)
            for i, vector in zip(mine, own - centre, strict=True):
                sent = senders.get(str(canaries.clients[i]), only).sent(t, y)
                if sent is not None:
                    towards[i] += float((sent - centre) @ vector)
                    lengths[i] += float(vector @ vector)
    return np.where(lengths > 0, towards / np.maximum(lengths, np.finfo(np.float64).tiny), _ABSENT)


class _Sender:
    """A contribution's statistics, found by seed and class."""

    def __init__(self, plan: Plan, contribution: Contribution) -> None:
        self._rows = {t: row for row, t in enumerate(plan.assigned(contribution.client))}
        self._columns = {y: column for column, y in enumerate(contribution.classes_held.tolist())}
        self._statistics = contribution.statistics

    def sent(self, t: int, y: int) -> np.ndarray | None:
        """The first vector at (t, y), float64 [d]; None where it was not sent."""
        if t not in self._rows or y not in self._columns:
            return None
        return self._statistics[self._rows[t], self._columns[y], 0].astype(np.float64)


def _shown(seen: Seen, canaries: Canaries) -> Tensor:
    """The canaries as networks see them, on the CPU."""
    return seen.plan.sample.tensors(canaries.samples.values, device="cpu", dtype=torch.float32)


def _log_odds(said: Tensor, labels: np.ndarray) -> np.ndarray:
    said = said.double().cpu()
    wanted = torch.from_numpy(labels)[:, None]
    own = said.gather(1, wanted)[:, 0]
    others = said.scatter(1, wanted, -torch.inf).logsumexp(dim=1)
    return (own - others).numpy()


Attack = Callable[[Seen, Canaries], np.ndarray]
ATTACKS: Mapping[str, Attack] = {"nearest": _nearest, "network": _network, "means": _means, "teacher": _teacher}
"""By name. The first two see the set alone; the others what the server received."""
ON_THE_SET = ("nearest", "network")
