"""Sums over a client's data under each seed (L_k), and of fixed features; computed once for all plans that agree."""

import numpy as np

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.engine.memory import begin_stage
from collabdm.matching.embedding import class_sums, embedder_for
from collabdm.matching.gram import FeatureSums, feature_sums
from collabdm.matching.statistic import Term, joint_terms, term_rows
from collabdm.matching.sums import Sums
from collabdm.networks import build_network
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Plan, feature_parameters
from collabdm.randomness import Stream
from collabdm.storage.kept_results import Blocks, KeptResults, result_key

__all__ = ["basis", "client_sums", "kept_sums", "sums_key"]


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
    return result_key("statistics", basis(plan, client, samples, engine) | {"terms": terms})


def kept_sums(plan: Plan, client: str, samples: Samples, engine: Engine, kept: KeptResults, report: Report) -> Sums:
    """What `client_sums` and the sums of the plan's fixed features give, computed once where results are `kept`."""
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


def _terms(plan: Plan) -> tuple[Term, ...]:
    """What is summed: for the server, and for a local method that matches the same sums."""
    statistics = (plan.statistic, plan.local.statistic)
    return joint_terms(statistic for statistic in statistics if statistic is not None)


def basis(plan: Plan, client: str, samples: Samples, engine: Engine) -> dict[str, object]:
    """All that the statistics depend on."""
    others = {"version", "statistics", "features", "gram_bits", "encoding", "local", "ipc", "tiles"}
    others |= {"most_held", "min_held"}
    return {
        "client": client,
        "data": samples.digest(),
        "engine": engine.model_dump(exclude={"threads", "processes"}),
        "plan": plan.model_dump(mode="json", exclude=others),
    }
