"""How time and memory grow: one factor at a time around a base, every cell in a process of its own.

    python benchmarks/scaling.py [--out FILE] [--memory | --sites]

Client: seconds of the statistics, of the local stage, and peak memory beyond the data. Server: seconds of aggregation
and of distillation, and peak memory. Data are random pixels. `--memory` measures one large client instead: 200,000
CIFAR-sized images, T = 500, B = 512 (ten minutes on two cores). `--sites` measures whole simulations of 10, 100 and
1,000 clients instead, of which ten take part at a seed: 8x8 pixels, 40 images a client, T = 20, a ConvNet of width 32
(a few minutes).
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from collabdm.client import contribute
from collabdm.config import ServerSpec, load_config
from collabdm.data import Dataset, Samples
from collabdm.data.presets import generic_preset
from collabdm.engine import resolve_engine, tune_allocator
from collabdm.planning import make_plan
from collabdm.protocol import Contribution, Plan, acceptance, encode_contribution
from collabdm.randomness import Stream
from collabdm.rounds.contributing import contribution_name
from collabdm.rounds.inbox import collect
from collabdm.server import aggregate, initial_state, refine
from collabdm.simulation.simulate import simulate_on
from collabdm.storage.files import write_json
from collabdm.storage.kept_results import KeptResults

CLASSES = tuple(str(y) for y in range(10))
CLIENT = {"seeds": 10, "batch": 256, "ipc": 10, "side": 32, "samples": 10_000, "clients": 5}
SERVER = {"seeds": 10, "ipc": 10, "side": 32, "clients": 5, "batch": 256}
CLIENT_GRID = {"seeds": (20, 40), "batch": (128, 512), "ipc": (50,), "side": (64,), "samples": (40_000,)}
SERVER_GRID = {"seeds": (20, 40), "clients": (20, 80), "ipc": (50,), "side": (64,)}
SITES, TAKING_PART = (10, 100, 1000), 10
LARGE = CLIENT | {"seeds": 500, "batch": 512, "samples": 200_000}


def main() -> None:
    """Run all cells, or (for a child process) one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "scaling.json")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--sites", action="store_true")
    parser.add_argument("--cell", nargs=2, metavar=("SIDE", "JSON"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cell:
        side, settings = given.cell
        measure = {"client": client, "server": server, "sites": sites}[side]
        print(json.dumps(measure(**json.loads(settings))))
        return
    if given.memory:
        print(json.dumps(_in_process("client", LARGE), indent=2))
        return
    if given.sites:
        _print_sites()
        return
    rows = []
    for side, base, grid in (("client", CLIENT, CLIENT_GRID), ("server", SERVER, SERVER_GRID)):
        for changed in ({}, *({name: value} for name, values in grid.items() for value in values)):
            rows.append({"side": side, "changed": changed, **_in_process(side, base | changed)})
            print(rows[-1], flush=True)
    write_json(given.out, {"client_base": CLIENT, "server_base": SERVER, "rows": rows})


def client(*, seeds: int, batch: int, ipc: int, side: int, samples: int, clients: int) -> dict[str, float]:
    """One client's contribution."""
    plan = _plan(seeds=seeds, batch=batch, ipc=ipc, side=side, clients=clients)
    images = np.empty((samples, 3, side, side), np.uint8)
    for start in range(0, samples, 1000):
        images[start : start + 1000] = Stream(start, "pixels").integers(256, images[start : start + 1000].shape)
    data = Samples(values=images, labels=np.arange(samples) % len(CLASSES), classes=CLASSES)
    _warm_up(plan, data)
    before = _peak()
    kept, engine = KeptResults(), resolve_engine("compiled", "cpu", 0.0, own=True)
    encoded = encode_contribution(contribute(plan, "0", data, engine=engine, kept=kept), plan)
    return {
        "statistics_seconds": kept.seconds["statistics"],
        "local_seconds": kept.seconds["local"],
        "data_bytes": images.nbytes,
        "contribution_bytes": len(encoded),
        "peak_beyond_data": _peak() - before,
    }


def server(*, seeds: int, batch: int, ipc: int, side: int, clients: int) -> dict[str, float]:
    """Aggregation and distillation from made-up contributions, read from files."""
    plan = _plan(seeds=seeds, batch=batch, ipc=ipc, side=side, clients=clients)
    engine = resolve_engine("compiled", "cpu", 0.0, own=True)
    expected, spec = acceptance(plan), ServerSpec(passes=1)
    images = torch.zeros(ipc * len(CLASSES), 3, side, side)
    labels = torch.arange(len(CLASSES)).repeat_interleave(ipc)
    with TemporaryDirectory() as folder:
        for name in plan.clients:
            means = Stream(1, name).uniform((seeds, len(CLASSES), 1, expected.features)).astype(np.float32)
            made = Contribution(
                client=name,
                held=np.full(len(CLASSES), 1000),
                statistics=means,
                samples=np.zeros((0, 3, side, side), np.float32),
                labels=np.zeros(0, np.int64),
                fingerprint=expected.fingerprint,
            )
            (Path(folder) / contribution_name(plan, name)).write_bytes(encode_contribution(made, plan))
        before, started = _peak(), time.perf_counter()
        target = aggregate(plan, collect(plan, Path(folder)).answers, spec)
        aggregated = time.perf_counter()
        for _ in refine(plan, target, initial_state(images, labels, engine), spec, engine=engine):
            pass
    return {
        "aggregate_seconds": aggregated - started,
        "distill_seconds": time.perf_counter() - aggregated,
        "peak_beyond_data": _peak() - before,
    }


def sites(*, clients: int) -> dict[str, float]:
    """A whole simulation of so many clients, each with 40 images."""
    images = Stream(1, "pixels").integers(256, (40 * clients + 100, 1, 8, 8)).astype(np.uint8)
    labels = np.arange(len(images)) % len(CLASSES)
    data = Samples(values=images, labels=labels, classes=CLASSES)
    train, test = data.take(np.arange(100, len(images))), data.take(np.arange(100))
    preset = generic_preset("random", (1, 8, 8), CLASSES)
    options = {
        "ipc": 10,
        "partition.kind": "iid",
        "partition.clients": clients,
        **{"plan.seeds": 20, "plan.batch": 32, "plan.participation": TAKING_PART / clients, "plan.min_held": 1},
        "plan.network": {"name": "convnet", "width": 32},
        **{"local.iterations": 5, "server.passes": 1, "evaluate.count": 1, "evaluate.epochs": 1},
    }
    engine = resolve_engine("eager", "cpu", 0.0)
    before, started = _peak(), time.process_time()
    with TemporaryDirectory() as folder:
        dataset = Dataset(name="random", train=train, test=test, preset=preset, columns={})
        found = simulate_on(dataset, load_config(options=options), Path(folder) / "run", engine=engine)
    return {
        "clients": clients,
        "client_seconds": sum(found["seconds"]["client"].values()) / clients,
        "aggregate_seconds": found["seconds"]["aggregate"],
        "distill_seconds": found["seconds"]["distill"],
        "processor_seconds": time.process_time() - started,
        "bytes_up": sum(found["bytes"]["up"].values()) / clients,
        "peak_beyond_start": _peak() - before,
        "data_bytes": images.nbytes,
    }


def _print_sites() -> None:
    print(
        f"{'clients':>8}{'s a client':>12}{'aggregate, s':>14}{'distill, s':>12}{'CPU, s':>8}{'kB up':>8}{'MB more':>9}"
    )
    for clients in SITES:
        row = _in_process("sites", {"clients": clients})
        times = f"{row['client_seconds']:>12.4f}{row['aggregate_seconds']:>14.2f}{row['distill_seconds']:>12.2f}"
        sizes = f"{row['bytes_up'] / 1e3:>8.1f}{row['peak_beyond_start'] / 1e6:>9.0f}"
        print(f"{clients:>8}{times}{row['processor_seconds']:>8.0f}{sizes}", flush=True)


def _plan(*, seeds: int, batch: int, ipc: int, side: int, clients: int) -> Plan:
    options = {"ipc": ipc, "plan.seeds": seeds, "plan.batch": batch, "local.iterations": 20}
    preset = generic_preset("random", (3, side, side), CLASSES)
    names = [str(k) for k in range(clients)]
    return make_plan(load_config(options=options), clients=names, preset=preset)


def _warm_up(plan: Plan, data: Samples) -> None:
    """Libraries are loaded and kernels built before anything is measured."""
    small = plan.model_copy(update={"seeds": 1, "batch": 4, "local": plan.local.model_copy(update={"iterations": 1})})
    contribute(small, "0", data.take(np.arange(100)), engine=resolve_engine("compiled", "cpu", 0.0, own=True))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _in_process(side: str, settings: dict[str, int]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--cell", side, json.dumps(settings)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


if __name__ == "__main__":
    tune_allocator()
    main()
