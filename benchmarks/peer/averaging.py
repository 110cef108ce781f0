"""FedAvg in Flower's own simulation against one round of ours: the same sites, network and bytes up."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from collabdm.config import Config
from collabdm.planning import network_for, sample_for
from collabdm.simulation.sharing import parts_of
from collabdm.simulation.simulate import simulate_on
from peer.flower import Averaged, Task, simulated
from peer.table import Row, Side
from peer.work import Work, settings

__all__ = ["rounds_within", "rows"]

_SITES, _BETA, _IPC = 5, 0.1, 10


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
