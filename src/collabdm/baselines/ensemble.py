"""The ensemble of the clients' models: the mean of their logits, every client counting as much as another.

DENSE's teacher, and the ceiling of the methods that distil it. It is as large as all models together.
"""

from collabdm.baselines.base import Rival, RivalJob, RivalResult
from collabdm.baselines.client_models import ClientModels, client_models
from collabdm.baselines.models import Model

__all__ = ["ENSEMBLE", "ensemble_of"]


def ensemble_of(job: RivalJob, received: ClientModels) -> Model:
    """All models that the clients sent, in sorted order, with equal weights."""
    return Model(
        spec=received.spec,
        sample=received.sample,
        classes=job.train.classes,
        members=tuple(received.parameters[client] for client in sorted(received.parameters)),
        weights=(1.0,) * len(received.parameters),
    )


def _run(job: RivalJob) -> RivalResult:
    received = client_models(job)
    return RivalResult(
        product=(ensemble_of(job, received),),
        bytes_down=received.bytes_down,
        bytes_up=received.bytes_up,
        rounds=1,
        client_seconds=received.seconds,
        server_seconds=0.0,
        memory={"client": received.memory},
    )


ENSEMBLE = Rival(name="ensemble", product="model", run=_run)
