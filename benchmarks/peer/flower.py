"""Flower's own simulation of FedAvg: what its clients compute, and what came of every round."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from collabdm.config.rivals import ClientTraining
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.randomness import Stream

__all__ = ["Averaged", "Task", "local_training", "simulated"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What every client does in a round: `training` of this network on its own samples, in the file `<number>.pt` of
    `folder`; a client of few samples runs more epochs, as those of our rivals do."""

    folder: str
    spec: NetworkSpec
    shape: tuple[int, ...]
    classes: int
    training: ClientTraining

    def network(self) -> nn.Module:
        """Our ConvNet as a module of torch's own layers, freshly drawn."""
        made = build_network(self.spec, self.shape, self.classes)
        drawn = initial_parameters(made, Stream(0, "peers"))
        network = made.to_empty(device="cpu")
        network.load_state_dict(drawn)
        return network


@dataclass(frozen=True, kw_only=True)
class Averaged:
    """Of every round: accuracy, and seconds that the clients trained together; `wall`: seconds with all of Flower."""

    accuracies: list[float]
    seconds: list[float]
    wall: float


def simulated(task: Task, test: tuple[Tensor, Tensor], *, sites: int, rounds: int) -> Averaged:
    """Flower's strategy FedAvg in its own simulation; the model is tested after every round."""
    from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation

    client, server = ClientApp(), ServerApp()
    accuracies, seconds = list[float](), list[float]()

    @client.train()
    def _(message: Message, context: Any) -> Message:
        given = message.content["arrays"].to_torch_state_dict()  # pyright: ignore
        learned, count, spent = local_training(task, int(context.node_config["partition-id"]), given)
        metrics = MetricRecord({"num-examples": count, "seconds": spent})
        return Message(RecordDict({"arrays": ArrayRecord(learned), "metrics": metrics}), reply_to=message)

    def tested(number: int, arrays: ArrayRecord) -> MetricRecord:
        network = task.network()
        network.load_state_dict(arrays.to_torch_state_dict())
        with torch.no_grad():
            said = torch.cat([network(part).argmax(dim=1) for part in test[0].split(200)])
        accuracy = float((said == test[1]).double().mean())
        if number:
            accuracies.append(accuracy)
        return MetricRecord({"accuracy": accuracy})

    def together(records: list[RecordDict], weighted_by: str) -> MetricRecord:
        spent = sum(record["metrics"]["seconds"] for record in records)  # pyright: ignore
        seconds.append(spent)
        return MetricRecord({"seconds": spent})

    @server.main()
    def _(grid: Any, context: Any) -> None:
        strategy = FedAvg(fraction_evaluate=0.0, min_available_nodes=sites, train_metrics_aggr_fn=together)
        initial = ArrayRecord(task.network().state_dict())
        strategy.start(grid=grid, initial_arrays=initial, num_rounds=rounds, evaluate_fn=tested)

    threads = torch.get_num_threads()
    resources = {"client_resources": {"num_cpus": threads}, "init_args": {"num_cpus": threads}}
    # Ray would give its workers less of a shared machine than this process has.
    started = time.perf_counter()
    with _environment(RAY_worker_niceness="0", RAY_USAGE_STATS_ENABLED="0", FLWR_TELEMETRY_ENABLED="0"):
        run_simulation(server, client, sites, backend_config=resources)  # pyright: ignore
    if len(accuracies) != rounds or len(seconds) != rounds:
        raise RuntimeError(f"Flower's simulation ended after {len(accuracies)} of {rounds} rounds; its log says why")
    return Averaged(accuracies=accuracies, seconds=seconds, wall=time.perf_counter() - started)


def local_training(task: Task, number: int, given: dict[str, Tensor]) -> tuple[dict[str, Tensor], int, float]:
    """A client's part of a round in plain torch: its model, how many samples it holds, and the seconds it took."""
    images, labels = torch.load(f"{task.folder}/{number}.pt")
    started, training, network = time.perf_counter(), task.training, task.network()
    network.load_state_dict(given)
    optimiser = torch.optim.SGD(
        network.parameters(), lr=training.lr, momentum=training.momentum, weight_decay=training.weight_decay
    )
    steps = -(-len(labels) // training.batch)
    for _ in range(max(training.epochs, -(-training.least_steps // steps))):
        for rows in torch.randperm(len(labels)).split(training.batch):
            optimiser.zero_grad()
            functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimiser.step()
    return dict(network.state_dict()), len(labels), time.perf_counter() - started


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Variables that the processes which are started meanwhile see."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
