"""Distilled one-shot federated learning in its own form (DOSFL, Zhou et al. 2020): it yields a model.

Each client learns a few steps of gradient descent (images, soft labels, step sizes) that carry the server's initial
network to a good one on its own data. Soft resets and random masking make the steps bear a start elsewhere and the
absence of others, since the server runs the steps of all clients in turn. The text leaves details open; what is chosen
here is in the settings.
"""

import dataclasses
import math
import time
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from safetensors.numpy import load, save
from torch import Tensor

from collabdm.baselines.base import Rival, RivalJob, RivalResult
from collabdm.baselines.local_sets import plan_of
from collabdm.baselines.models import Model
from collabdm.config.rivals import DosflSoftSpec
from collabdm.data import Samples
from collabdm.engine.memory import begin_stage, highest, merged
from collabdm.engine.workers import torch_threads
from collabdm.local.bptt import soft_reset
from collabdm.local.shown import real_set
from collabdm.planning import recipe_for
from collabdm.progress import Event
from collabdm.protocol import LocalSpec, Plan, encode_plan
from collabdm.protocol.encoding import plain_floats
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint, named, optimiser_state, restore_optimiser, within
from collabdm.storage.kept_results import KeptResults, result_key
from collabdm.training.differentiable import Differentiable, Parameters

__all__ = ["DOSFL_SOFT", "carried", "distilled_steps"]

# What a client learns: images [steps, batch, C, H, W], labels [steps, batch, classes] before the softmax, and step
# sizes [epochs, steps] before the softplus.
Learned = dict[str, Tensor]


def _run(job: RivalJob) -> RivalResult:
    plan, spec = plan_of(job, LocalSpec(method="real")), job.config.rivals.dosfl_soft
    network = plan.network.model_copy(update={"width": spec.width or plan.network.width})
    net = Differentiable(spec=network, sample=plan.sample, classes=len(plan.classes), engine=job.engine)
    received, up, seconds, memory = {}, {}, {}, dict[str, float]()
    for client in plan.clients:
        content, kept = _sent(job, plan, net, spec, client)
        seconds[client] = kept.seconds["dosfl"]
        memory = merged(memory, {"client": kept.memory.get("dosfl", 0.0)})
        up[client] = len(content)
        received[client] = {
            name: torch.from_numpy(value.astype(np.float32)).to(job.engine.device, job.engine.sample_dtype)
            for name, value in sorted(load(content).items())
        }
    started = time.perf_counter()
    begin_stage()
    models = tuple(_trained(plan, net, received, i, job) for i in range(recipe_for(job.config).count))
    return RivalResult(
        product=models,
        bytes_down=dict.fromkeys(plan.clients, len(encode_plan(plan)) + len(spec.model_dump_json())),
        bytes_up=up,
        rounds=1,
        client_seconds=seconds,
        server_seconds=time.perf_counter() - started,
        memory=memory | {"server": highest()},
    )


def _sent(
    job: RivalJob, plan: Plan, net: Differentiable, spec: DosflSoftSpec, client: str
) -> tuple[bytes, KeptResults]:
    """A client's message, and where it says what that took."""
    samples, kept = job.train.take(job.parts[client]), KeptResults(job.kept, report=job.report)
    basis = {
        "client": client,
        "data": samples.digest(),
        "engine": job.engine.model_dump(exclude={"threads", "processes"}),
        "plan": plan.model_dump(mode="json"),
        "spec": spec.model_dump(mode="json"),
    }
    key = result_key("dosfl", basis)
    begin_stage()
    learned = kept.compute(
        key, lambda: distilled_steps(plan, client, samples, net, spec, job, checkpoint=kept.checkpoint(key))
    )
    content = save({name: np.ascontiguousarray(plain_floats(value, plan.encoding)) for name, value in learned.items()})
    return content, kept


def distilled_steps(
    plan: Plan,
    client: str,
    samples: Samples,
    net: Differentiable,
    spec: DosflSoftSpec,
    job: RivalJob,
    checkpoint: Checkpoint | None = None,
) -> dict[str, np.ndarray]:
    """What one client sends, float32: as many images as a local set of the plan would have at most."""
    checkpoint = checkpoint or Checkpoint()
    found, held = checkpoint.found(), np.flatnonzero(samples.counts())
    stream = Stream(plan.seed, "dosfl", client)
    size = max(len(held) * plan.local_per_class // spec.steps, 1)
    start = {
        "images": stream.uniform((spec.steps, size, *plan.sample.shape), -math.sqrt(3), math.sqrt(3)),
        "labels": _labels(held, spec.steps, size, len(plan.classes)),
        "sizes": np.full((spec.epochs, spec.steps), math.log(math.expm1(spec.step_size))),
    }
    learned = {
        name: value.to(net.engine.device, net.engine.sample_dtype).requires_grad_()
        for name, value in (within(found, "learned") or {n: torch.from_numpy(v) for n, v in start.items()}).items()
    }
    server = net.fresh(Stream(plan.seed, "server model"))
    real = dataclasses.replace(real_set(plan, samples), augment=())
    optimiser = torch.optim.Adam(
        [
            {"params": [learned["images"]], "lr": spec.lr},
            {"params": [learned["labels"], learned["sizes"]], "lr": spec.label_lr},
        ]
    )
    begin = 0
    if found:
        begin = int(found["done"])
        restore_optimiser(optimiser, within(found, "optimiser"))
        stream.move_to(found["stream"].numpy())
    with torch_threads(net.engine.threads):
        for i in range(begin, spec.iterations):
            parameters = soft_reset(net, server, spec.reset, stream)
            kept = stream.uniform((spec.epochs, spec.steps)) >= spec.mask
            end = carried(net, parameters, [learned], kept)
            wanted, loss = net.gradient(end, real, stream.choose(len(samples), spec.batch))
            ends = [name for name in sorted(end) if end[name].requires_grad]
            if ends:
                found = torch.autograd.grad(
                    [end[name] for name in ends],
                    list(learned.values()),
                    [wanted[name] for name in ends],
                    allow_unused=True,
                )
                for leaf, gradient in zip(learned.values(), found, strict=True):
                    leaf.grad = gradient
                optimiser.step()
            job.report(Event(stage="local", client=client, done=i + 1, total=spec.iterations, loss=loss))
            checkpoint.keep(partial(_state, learned, optimiser, stream, i + 1))
    return {name: value.detach().float().cpu().numpy() for name, value in learned.items()}


def carried(net: Differentiable, parameters: Parameters, steps: list[Learned], kept: np.ndarray) -> Parameters:
    """Parameters after the steps of all clients in turn: step 0 of each, step 1 of each, ..., epoch after epoch.

    `kept` [epochs, steps]: which are taken. Differentiable in everything that is learned.
    """
    current = dict(parameters)
    for epoch, step in np.argwhere(kept):
        for learned in steps:
            targets = learned["labels"][step].softmax(dim=-1)
            gradient = net.gradient_with_graph(current, learned["images"][step], targets)
            size = torch.nn.functional.softplus(learned["sizes"][epoch, step])
            current = {name: value - size * gradient[name] for name, value in current.items()}
    return current


def _state(learned: Learned, optimiser: torch.optim.Adam, stream: Stream, done: int) -> dict[str, Tensor]:
    place = {"stream": torch.from_numpy(stream.position), "done": torch.tensor(done)}
    return named("learned", learned) | named("optimiser", optimiser_state(optimiser)) | place


def _trained(plan: Plan, net: Differentiable, received: Mapping[str, Learned], number: int, job: RivalJob) -> Model:
    """The server's initial model after all steps, the clients in a drawn order."""
    clients = sorted(received)
    order = Stream(plan.seed, "dosfl order", number).permutation(len(clients))
    current, first = net.fresh(Stream(plan.seed, "server model")), received[clients[0]]["sizes"]
    for epoch, step in np.ndindex(*first.shape):
        for row in order:
            kept = np.zeros(tuple(first.shape), bool)
            kept[epoch, step] = True
            after = carried(net, current, [received[clients[row]]], kept)
            current = {name: value.detach() for name, value in after.items()}  # no graph beyond a step
    return Model(
        spec=net.spec,
        sample=plan.sample,
        classes=job.train.classes,
        members=({name: value.float().cpu() for name, value in current.items()},),
    )


def _labels(held: np.ndarray, steps: int, size: int, classes: int) -> np.ndarray:
    """Soft labels near the classes held, in turn: 3 for the own class before the softmax, 0 for all others."""
    own = np.resize(held, steps * size).reshape(steps, size)
    return 3.0 * np.eye(classes)[own]


DOSFL_SOFT = Rival(name="dosfl-soft", product="model", run=_run)
