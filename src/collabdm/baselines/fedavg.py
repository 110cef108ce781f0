"""One-shot FedAvg: the mean of the clients' parameters (McMahan et al., AISTATS 2017, with a single round).

The floor of every method that sends models. Running statistics are averaged like parameters.
"""

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from collabdm.baselines.base import Rival, RivalJob, RivalResult
from collabdm.baselines.client_models import client_models
from collabdm.baselines.models import Model

__all__ = ["FEDAVG", "averaged"]


def averaged(models: Mapping[str, Mapping[str, Tensor]], weights: Mapping[str, float]) -> dict[str, Tensor]:
    """The mean of the models by `weights` (FedAvg: samples held), in float64 over the clients in sorted order."""
    total = sum(weights[client] for client in sorted(models))
    first = models[min(models)]
    return {
        name: torch.stack([models[c][name].double() * (weights[c] / total) for c in sorted(models)]).sum(dim=0).float()
        for name in first
    }


def _run(job: RivalJob) -> RivalResult:
    received = client_models(job)
    started = time.perf_counter()
    mean = averaged(received.parameters, {client: float(held.sum()) for client, held in received.held.items()})
    model = Model(
        spec=received.spec,
        sample=received.sample,
        classes=job.train.classes,
        members=(mean,),
    )
    return RivalResult(
        product=(model,),
        bytes_down=received.bytes_down,
        bytes_up=received.bytes_up,
        rounds=1,
        client_seconds=received.seconds,
        server_seconds=time.perf_counter() - started,
        memory={"client": received.memory},
    )


FEDAVG = Rival(name="fedavg", product="model", run=_run)
