"""Client models: each client trains one on its own data, once for all rivals that ask for it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from collabdm.baselines.base import RivalJob
from collabdm.baselines.models import classifier, decode_parameters, encode_parameters, is_running
from collabdm.config import Config
from collabdm.config.rivals import ClientTraining, network_of_clients
from collabdm.data import Preset, Samples
from collabdm.engine import Engine
from collabdm.engine.memory import begin_stage
from collabdm.engine.workers import in_order
from collabdm.errors import ConfigError, explain
from collabdm.modalities import MODALITIES
from collabdm.modality import Modality
from collabdm.networks import ClassifierSpec, build_network, initial_parameters, initial_running
from collabdm.planning import fitted
from collabdm.progress import Event
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint, named, optimiser_state, restore_optimiser, within
from collabdm.storage.kept_results import KeptResults, result_key
from collabdm.training.shuffling import Place, batches

__all__ = ["ClientModels", "client_models", "client_network", "train_client"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClientModels:
    """What the server has after the round, everything by client in sorted order.

    `parameters`: float32 on the CPU, as decoded from the `bytes_up` that were sent; `held` [classes]; `digest` of all.
    `memory`: the most that the process held meanwhile, in MB.
    """

    spec: ClassifierSpec
    sample: Modality
    parameters: Mapping[str, Mapping[str, Tensor]]
    held: Mapping[str, np.ndarray]
    bytes_down: Mapping[str, int]
    bytes_up: Mapping[str, int]
    seconds: Mapping[str, float]
    memory: float
    digest: str


def client_network(config: Config, preset: Preset) -> ClassifierSpec:
    """The clients' architecture: as set, or the usual one for such samples, with the depth that suits images."""
    usual = MODALITIES[config.modality].network
    return fitted(network_of_clients(config.rivals.training.network, usual), preset)


def client_models(job: RivalJob) -> ClientModels:
    """Every client's model, trained or found among the kept results; all start from the same parameters.

    Clients train side by side, a thread each, so that a model does not depend on the number of threads. A client
    without samples sends nothing.
    Raises `ConfigError` where a model diverges, or the samples are too small for the network.
    """
    config, spec = job.config, client_network(job.config, job.preset)
    settings = config.rivals.training.model_copy(update={"network": spec})
    sample = job.sample
    task = {
        "classes": job.train.classes,
        "sample": sample.model_dump(mode="json"),
        "seed": config.seed,
        "training": settings.model_dump(mode="json"),
    }
    clients = [client for client in sorted(job.parts) if len(job.parts[client])]
    parameters, held, up, seconds, memory, sent = {}, {}, {}, {}, 0.0, hashlib.sha256()
    begin_stage()
    results = in_order(partial(_trained, job, settings, sample, task), clients, job.engine.spread(own=True))
    for number, (client, (arrays, store)) in enumerate(zip(clients, results, strict=True)):
        finite = {name: torch.from_numpy(value) for name, value in arrays.items() if np.isfinite(value).all()}
        if len(finite) < len(arrays):
            got, fix = f"a model of client {client} that diverged", "lower rivals.training.lr"
            raise ConfigError(explain("client training", got=got, expected="finite parameters", fix=fix))
        content = encode_parameters(finite, job.train.take(job.parts[client]).counts(), config.plan.encoding)
        parameters[client], held[client] = decode_parameters(content)
        up[client], seconds[client] = len(content), store.seconds["model"]
        memory = max(memory, store.memory.get("model", 0.0))
        sent.update(content)
        message = f"{len(content):,} bytes up"
        job.report(Event(stage="client models", client=client, done=number + 1, total=len(clients), message=message))
    return ClientModels(
        spec=spec,
        sample=sample,
        parameters=parameters,
        held=held,
        bytes_down=dict.fromkeys(clients, len(json.dumps(task).encode())),
        bytes_up=up,
        seconds=seconds,
        memory=memory,
        digest=sent.hexdigest(),
    )


def _trained(
    job: RivalJob, settings: ClientTraining, sample: Modality, task: Mapping[str, object], client: str
) -> tuple[dict[str, np.ndarray], KeptResults]:
    """One client's model, and the store that knows what it cost; `task`: what the server asks of all."""
    samples, store = job.train.take(job.parts[client]), KeptResults(job.kept)
    engine = job.engine.model_dump(exclude={"threads", "processes", "chunk"})
    basis = {"client": client, "data": samples.digest(), "engine": engine, "task": task}
    key = result_key("model", basis)

    def work() -> dict[str, np.ndarray]:
        made = train_client(
            samples,
            settings,
            sample,
            seed=job.config.seed,
            client=client,
            engine=job.engine,
            checkpoint=store.checkpoint(key),
        )
        return {name: value.numpy() for name, value in made.items()}

    return store.compute(key, work), store


def train_client(
    samples: Samples,
    settings: ClientTraining,
    sample: Modality,
    *,
    seed: int,
    client: str,
    engine: Engine,
    checkpoint: Checkpoint | None = None,
) -> dict[str, Tensor]:
    """Parameters and running statistics after local training by stochastic gradient descent at a constant rate.

    Whole batches go through at once (a batch norm needs them whole); without augmentation, as DENSE trains on
    Fashion-MNIST. Initial parameters follow from `seed` alone, the order of the samples from `seed` and `client`. With
    a `checkpoint` an interrupted training goes on from it, to the same bits.
    """
    shape, classes = sample.shape, len(samples.classes)
    network = build_network(settings.network, shape, classes)
    checkpoint = checkpoint or Checkpoint()
    found = checkpoint.found()
    initial = initial_parameters(network, Stream(seed, "client model")) | initial_running(network)
    placed = {name: value.to(engine.device) for name, value in (within(found, "model") or initial).items()}
    leaves = {name: value.requires_grad_() for name, value in placed.items() if not is_running(name)}
    running = {name: value for name, value in placed.items() if is_running(name)}
    logits = classifier(settings.network, shape, classes, engine.torch_dtype, training=True)
    optimiser = torch.optim.SGD(
        leaves.values(), lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    labels = torch.from_numpy(samples.labels)
    epochs = max(settings.epochs, -(-settings.least_steps // -(-len(samples) // settings.batch)))
    begin = None
    if found:
        begin = Place.of(within(found, "place"))
        restore_optimiser(optimiser, within(found, "optimiser"))
    for batch in batches(Stream(seed, "client order", client), len(samples), settings.batch, epochs, begin):
        images = sample.tensors(samples.values[batch.rows], device=engine.device, dtype=torch.float32)
        running = {name: value.clone() for name, value in running.items()}
        loss = functional.cross_entropy(logits(leaves | running, images), labels[batch.rows].to(engine.device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        checkpoint.keep(partial(_state, leaves | running, optimiser, batch.after))
    return {name: value.detach().cpu() for name, value in sorted((leaves | running).items())}


def _state(model: Mapping[str, Tensor], optimiser: torch.optim.SGD, place: Place) -> dict[str, Tensor]:
    return named("model", model) | named("optimiser", optimiser_state(optimiser)) | named("place", place.tensors())
