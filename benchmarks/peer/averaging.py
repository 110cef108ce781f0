"""FedAvg in Flower's own simulation against one round of ours: the same sites, network and bytes up."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from collabdm.config import Config
from collabdm.config.rivals import ClientTraining
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.planning import network_for, sample_for
from collabdm.randomness import Stream
from collabdm.simulation.sharing import parts_of
from collabdm.simulation.simulate import simulate_on
from peer.table import Row, Side
from peer.work import Work, settings

__all__ = ["Averaged", "Task", "local_training", "rounds_within", "rows", "simulated"]

_SITES, _BETA, _IPC = 5, 0.1, 10


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


def rows(work: Work) -> list[Row]:
    """A row for the set and one for the ridge classifier. Raises `ImportError` without Flower or Ray."""
    import flwr  # noqa: F401
    import ray  # noqa: F401

    sizes = work.sizes
    shared = {"partition_clients": _SITES, "partition_beta": _BETA, "ipc": _IPC, "evaluate_count": 1}
    asked = {"plan_seeds": sizes.seeds, "plan_batch": sizes.batch, "local_iterations": sizes.iterations}
    ours = {name: _ours(work, settings(name, **shared, **asked)) for name in ("collabdm", "analytic")}
    config = settings("collabdm", **shared, **asked)
    size = 4 * sum(value.numel() for value in _task(work, config, "").network().state_dict().values())
    fit = {name: rounds_within(one["up"], size) for name, one in ours.items()}
    theirs = _flower(work, config, max(sizes.rounds, *fit.values()))
    return [_row(work, name, ours[name], theirs, fit[name], size) for name in ours]


def rounds_within(bytes_up: float, size: int) -> int:
    """Rounds of models of `size` bytes in as many bytes up; one where none fits."""
    return max(1, int(bytes_up // size))


def _row(work: Work, name: str, mine: dict[str, Any], theirs: Averaged, rounds: int, size: int) -> Row:
    spent, last = theirs.seconds, len(theirs.seconds)
    told = (
        f"{_SITES} sites share {len(work.dataset.train):,} samples of {work.dataset.name} (Dirichlet beta {_BETA}); up "
        f"from each go {mine['up'] / 1e6:.2f} MB of ours and {rounds * size / 1e6:.2f} MB of theirs, whose model is "
        f"{size / 1e6:.2f} MB a round. After round {last} ({last * size / 1e6:.1f} MB, {sum(spent):.0f} s) FedAvg has "
        f"{theirs.accuracies[-1]:.1%}. Seconds of theirs are the clients' training alone; all of Flower's "
        f"simulation took {theirs.wall:.0f}. Ours are the whole round{mine['with']}. One run of each"
    )
    return Row(
        work=f"{rounds} round{'s' if rounds > 1 else ''} of FedAvg, one of `{name}`",
        theirs=Side(
            name="Flower", seconds=sum(spent[:rounds]), dtype="float32", accuracy=theirs.accuracies[rounds - 1]
        ),
        ours=Side(name=name, seconds=mine["seconds"], dtype=mine["dtype"], accuracy=mine["accuracy"]),
        told=told,
    )


def _ours(work: Work, config: Config) -> dict[str, Any]:
    """A whole round: its accuracy, seconds and the mean bytes up."""
    engine = work.engine(config)
    with TemporaryDirectory() as folder:
        found = simulate_on(work.dataset, config, Path(folder) / "run", engine=engine)
    up = found["bytes"]["up"].values()
    return {
        "accuracy": found["accuracy"]["mean"],
        "seconds": found["seconds"]["total"],
        "up": sum(up) / len(up),
        "dtype": engine.dtype,
        "with": ", with a network trained on the set" if config.method == "collabdm" else "",
    }


def _task(work: Work, config: Config, folder: str) -> Task:
    preset = work.dataset.preset
    training, spec = config.rivals.training, network_for(config, preset)
    return Task(
        folder=folder, spec=spec, shape=sample_for(config, preset).shape, classes=len(preset.classes), training=training
    )


def _flower(work: Work, config: Config, rounds: int) -> Averaged:
    """FedAvg over the sites that our round has, each with its samples in a file of its own."""
    sample, data = sample_for(config, work.dataset.preset), work.dataset
    parts = parts_of(config, data)

    def tensors(values: Any) -> Tensor:
        return sample.tensors(values, device="cpu", dtype=torch.float32)

    with TemporaryDirectory() as folder:
        for number, indices in enumerate(parts.values()):
            held = data.train.take(indices)
            torch.save((tensors(held.values), torch.from_numpy(held.labels)), f"{folder}/{number}.pt")
        test = tensors(data.test.values), torch.from_numpy(data.test.labels)
        return simulated(_task(work, config, folder), test, sites=len(parts), rounds=rounds)


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
