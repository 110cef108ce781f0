"""What an answer to a plan will take and send at one site, found out by doing a little of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from collabdm.client.site import check_fits, contribute
from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.matching.embedding import embedder_for
from collabdm.matching.gram import feature_sums
from collabdm.privacy import enough_held
from collabdm.privacy.summing import bounded_sums
from collabdm.progress import Event
from collabdm.protocol import (
    LOCAL_METHODS,
    LocalSpec,
    Plan,
    acceptance,
    bytes_by_part,
    encode_contribution,
    feature_parameters,
    per_seed,
)
from collabdm.protocol.acceptance import SUM_BYTES
from collabdm.protocol.sizes import expected_upload
from collabdm.protocol.sum_vector import sum_layout

__all__ = ["Probe", "probe"]

_SEEDS, _STEPS = 3, 4
# What takes as long as there are samples is timed on so many.
_SAMPLES = 512


@dataclass(frozen=True, kw_only=True)
class Probe:
    """`seconds` of computing by stage (`statistics`, `local`, `gram`), and bytes by part, as `bytes_by_part` names
    them."""

    seconds: Mapping[str, float]
    parts: Mapping[str, int]


def probe(plan: Plan, client: str, samples: Samples, *, engine: Engine, groups: np.ndarray | None = None) -> Probe:
    """Answer a plan of a few seeds and a few local steps, and reckon from it what the whole answer takes and sends.

    Loading data, starting up and compiling are not in the seconds. It works on the site's own data, so that what
    `contribute` refuses (sizes, classes, values) is refused here too: it raises what that raises.
    """
    check_fits(plan, client, samples)
    seeds = len(plan.assigned(client))
    shorter, steps = _shorter(plan.local)
    asked = {"seeds": min(seeds, _SEEDS), "participation": 1.0, "local": shorter, "masks": None}
    asked |= {"statistics": per_seed(plan.statistics), "features": None, "gram_bits": None}
    small, clock = plan.model_copy(update=asked), _Clock()
    if plan.privacy is None:
        made, scale = contribute(small, client, samples, engine=engine, report=clock), 1.0
        parts = dict(bytes_by_part(encode_contribution(made, small)))
        if "means" in parts and small.seeds:
            parts["means"] = round(parts["means"] * seeds / small.seeds)
        if plan.features is not None:
            parts["gram"] = expected_upload(plan)["gram"]
    else:
        # Its work grows with the samples, its size does not.
        shown = _part(samples)
        bounded_sums(small, samples.take(shown), engine=engine, groups=_of(groups, shown), report=clock)
        scale, parts = len(samples) / len(shown), {"sums": SUM_BYTES * sum_layout(plan, acceptance(plan)).size}
    seconds = {
        "statistics": clock.whole("statistics", seeds) * scale,
        "local": clock.whole("local", steps),
        "gram": _gram_seconds(plan, samples, engine),
    }
    return Probe(seconds={name: taken for name, taken in seconds.items() if taken}, parts=parts)


@dataclass
class _Clock:
    """When each step was done; the first one of a stage also starts what it needs, and is not counted."""

    seen: list[tuple[str, int, int, float]] = field(default_factory=list)
    begun: float = field(default_factory=time.perf_counter)

    def __call__(self, event: Event) -> None:
        self.seen.append((event.stage, event.done, event.total, time.perf_counter()))

    def whole(self, stage: str, total: int | None) -> float:
        """Seconds of `total` steps (None: of as many as it said), by those that were seen."""
        mine = [(done, when) for name, done, _, when in self.seen if name == stage]
        if not mine:
            return 0.0
        told = next(most for name, _, most, _ in self.seen if name == stage)
        (first, start), (last, end) = mine[0], mine[-1]
        if len(mine) == 1:
            before = [when for *_, when in self.seen if when < start]
            first, start = 0, before[-1] if before else self.begun
        return (end - start) / max(last - first, 1) * (told if total is None else total)


def _shorter(spec: LocalSpec) -> tuple[LocalSpec, int | None]:
    """The local method with a few of its steps, and how many it has: None for one without steps, done whole."""
    own = getattr(spec, spec.method, None)
    if own is not None and hasattr(own, "iterations"):
        few = own.model_copy(update={"iterations": min(own.iterations, _STEPS)})
        return spec.model_copy(update={spec.method: few}), own.iterations
    few = spec.model_copy(update={"iterations": min(spec.iterations, _STEPS)})
    return few, spec.iterations if LOCAL_METHODS[spec.method].reuses is not None else None


def _of(groups: np.ndarray | None, shown: np.ndarray) -> np.ndarray | None:
    return None if groups is None else groups[shown]


def _part(samples: Samples) -> np.ndarray:
    """Indices of a few samples, evenly spread."""
    return np.unique(np.linspace(0, len(samples) - 1, min(len(samples), _SAMPLES)).round().astype(np.int64))


def _gram_seconds(plan: Plan, samples: Samples, engine: Engine) -> float:
    """How long the fixed features of all samples take."""
    if plan.features is None:
        return 0.0
    held = samples if plan.privacy is not None else enough_held(samples, plan.min_held)
    part = held.take(_part(held))
    embedder = embedder_for(plan.features, plan.sample.shape, engine)
    parameters = embedder.placed(feature_parameters(plan))
    started = time.perf_counter()
    feature_sums(embedder, parameters, part, plan.sample, plan.augment)
    return (time.perf_counter() - started) * len(held) / len(part)
