"""What one client does: the means of its data under each seed (L_k), and a local distillation (S_k)."""

import numpy as np
import torch

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.engine.memory import begin_stage
from collabdm.errors import DataError, PlanError, explain
from collabdm.local import ClientStatistics, distill_locally
from collabdm.matching.embedding import class_moments, embedder_for
from collabdm.matching.statistic import MOMENTS
from collabdm.networks import build_network, initial_parameters
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Contribution, Plan, parameters_fingerprint
from collabdm.randomness import Stream
from collabdm.storage.kept_results import Blocks, KeptResults, result_key

__all__ = ["client_statistics", "contribute", "fingerprint", "statistics_key"]


def contribute(
    plan: Plan,
    client: str,
    samples: Samples,
    *,
    engine: Engine,
    kept: KeptResults | None = None,
    report: Report = silent,
) -> Contribution:
    """ClientDM of Algorithm 1 (lines 16-23) for one client of the plan.

    `kept` keeps the two costly results by the digest of what they depend on, so that they are computed once for all
    plans that agree on them, and not again after an interruption.
    Raises `PlanError` where the plan does not name the client or its local stage diverges, `DataError` where the
    samples do not fit the plan.
    """
    _check(plan, client, samples)
    kept = kept or KeptResults()
    basis = _basis(plan, client, samples, engine)
    held = samples.counts()
    classes = np.flatnonzero(held)
    values = np.zeros((0, len(classes), 2, 0), np.float32)
    if plan.parts or plan.local.reuses:
        key = result_key("statistics", basis)
        begin_stage()
        values = kept.compute(
            key,
            lambda: client_statistics(plan, client, samples, engine=engine, blocks=kept.blocks(key), report=report),
        )["values"]
    statistics = ClientStatistics(
        seeds=plan.assigned(client)[: len(values)],
        classes=tuple(int(y) for y in classes),
        values=torch.from_numpy(values),
        drawn={int(y): min(plan.batch, int(held[y])) for y in classes},
    )
    local_basis = basis | {
        "local": plan.local.model_dump(mode="json", exclude_none=True),
        "ipc": plan.ipc,
        "pae": plan.pae,
    }
    local_key = result_key("local", local_basis)
    begin_stage()
    local = kept.compute(
        local_key,
        lambda: distill_locally(
            plan, client, samples, statistics, engine=engine, checkpoint=kept.checkpoint(local_key), report=report
        ),
    )
    if not np.isfinite(local["images"]).all():
        setting, rate = plan.local.rate
        got = f"images that diverged at {setting} = {rate}"
        raise PlanError(
            explain("local distillation", got=got, expected="finite pixels", fix=f"ask for a smaller {setting}")
        )
    features = build_network(plan.network, plan.sample.shape, classes=1).features
    chosen = [MOMENTS.parts.index(part) for part in plan.parts]
    nothing = np.zeros((len(plan.assigned(client)), len(classes), 0, features), np.float32)
    return Contribution(
        client=client,
        held=held,
        means=values[:, :, chosen] if chosen else nothing,
        images=local["images"],
        labels=local["labels"],
        fingerprint=fingerprint(plan),
    )


def client_statistics(
    plan: Plan,
    client: str,
    samples: Samples,
    *,
    engine: Engine,
    blocks: Blocks | None = None,
    report: Report = silent,
) -> dict[str, np.ndarray]:
    """Mean and variance of the embeddings of the drawn batch, per assigned seed and class held (line 22).

    `values`: float32 [seeds, held classes, 2, d]. Every class's batch is `plan.batch` samples without replacement, or
    all of them if fewer; the second part is kept for the local stage even where the plan does not send it. Seeds whose
    rows `blocks` has are not computed again.
    """
    blocks = blocks or Blocks()
    embedder = embedder_for(plan.network, plan.sample.shape, engine)
    classes = np.flatnonzero(samples.counts())
    members = {int(y): samples.of_class(int(y)) for y in classes}
    assigned = plan.assigned(client)
    values = np.empty((len(assigned), len(classes), 2, embedder.features), np.float32)
    for row, found in enumerate(blocks.rows):
        values[row] = found
    for row, t in list(enumerate(assigned))[len(blocks.rows) :]:
        encoder = embedder.encoder(plan.encoder_seed(t))
        drawn = {
            y: rows[Stream(plan.seed, "batch", client, t, y).choose(len(rows), plan.batch)]
            for y, rows in members.items()
        }
        augmentations = {y: plan.augmentation(t, y) for y in members}
        values[row] = class_moments(embedder, encoder, samples.images, drawn, augmentations, plan.normalisation)
        blocks.add(values[row])
        report(Event(stage="statistics", client=client, done=row + 1, total=len(assigned)))
    return {"values": values}


def statistics_key(plan: Plan, client: str, samples: Samples, *, engine: Engine) -> str:
    """The key under which `contribute` keeps what `client_statistics` computes."""
    return result_key("statistics", _basis(plan, client, samples, engine))


def fingerprint(plan: Plan) -> str:
    """SHA-256 of the first encoder's parameters, which both sides derive."""
    network = build_network(plan.network, plan.sample.shape, classes=1)
    parameters = initial_parameters(network, Stream(plan.encoder_seed(0), "encoder"), embedding=True)
    return parameters_fingerprint({name: value.numpy() for name, value in parameters.items()})


def _basis(plan: Plan, client: str, samples: Samples, engine: Engine) -> dict[str, object]:
    """All that the statistics depend on."""
    others = {"statistics", "encoding", "local", "ipc", "pae", "most_held"}
    return {
        "client": client,
        "data": samples.digest(),
        "engine": engine.model_dump(exclude={"threads", "processes"}),
        "plan": plan.model_dump(mode="json", exclude=others),
    }


def _check(plan: Plan, client: str, samples: Samples) -> None:
    if client not in plan.clients:
        named = ", ".join(plan.clients[:10])
        raise PlanError(explain("client", got=client, expected=f"one of the plan's: {named}", fix="pass --client NAME"))
    if not len(samples):
        raise DataError(explain("samples of the client", got=0, expected="at least one", fix="leave this client out"))
    if samples.shape != plan.sample.shape:
        fix = "resize the images, or ask for a plan for this size"
        if samples.shape[1:] == plan.sample.shape[1:]:
            fix = "store them with as many channels (1: grey, 3: colour), or ask for a plan for these"
        raise DataError(explain("image shape", got=samples.shape, expected=str(plan.sample.shape), fix=fix))
    if samples.classes != plan.classes:
        fix = "name the classes as the plan does, in its order (Samples.with_classes)"
        raise DataError(explain("classes", got=samples.classes[:12], expected=str(plan.classes[:12]), fix=fix))
