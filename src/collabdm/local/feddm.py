"""FedDM's local stage (Xiong et al., CVPR 2023): means of features and of logits matched around one network.

The logits are linear in the features, so their means follow from the means of the features: this is distribution
matching with another distance.
"""

from functools import partial

import torch
from torch import Tensor

from collabdm.local.dm import kept, resumed
from collabdm.local.start import LocalJob
from collabdm.matching.embedding import class_moments, embedder_for
from collabdm.matching.statistic import STATISTICS, Statistic
from collabdm.matching.step import ClassTarget, matching_step
from collabdm.networks import build_network, initial_parameters
from collabdm.progress import Event, Report
from collabdm.protocol import FedDMSpec
from collabdm.randomness import Stream

__all__ = ["moved", "one_network_images", "with_logits"]


def one_network_images(job: LocalJob, images: Tensor, labels: Tensor, report: Report) -> Tensor:
    """Initial images [n, C, H, W] with labels [n], after gradient descent on both distances, without augmentation.

    The network is the one of the plan's seed, the same for all clients: the server's initial model of round 1.
    """
    plan, spec = job.plan, job.plan.local.feddm or FedDMSpec()
    embedder = embedder_for(plan.network, plan.sample.shape, job.engine)
    network = build_network(plan.network, plan.sample.shape, len(plan.classes))
    server = initial_parameters(network, Stream(plan.seed, "server model"))
    begin, state = resumed(job.checkpoint, images, labels)
    members = job.members
    for i in range(begin, spec.iterations):
        near = moved(server, spec.radius, Stream(plan.seed, "feddm", job.client, i))
        readout = near.pop("classifier.weight").to(job.engine.device, job.engine.image_dtype)
        near.pop("classifier.bias")
        encoder = embedder.placed(near)
        drawn = {
            y: rows[Stream(plan.seed, "local-batch", job.client, i, y).choose(len(rows), spec.batch)]
            for y, rows in members.items()
        }
        plain = dict.fromkeys(members)
        values = class_moments(embedder, encoder, job.samples.images, drawn, plain, plan.normalisation)
        state, losses = matching_step(
            state,
            {
                y: ClassTarget(
                    value=torch.from_numpy(values[row]).to(job.engine.device, job.engine.image_dtype),
                    drawn=len(drawn[y]),
                    augmentation=None,
                )
                for row, y in enumerate(sorted(drawn))
            },
            embedder=embedder,
            encoder=encoder,
            statistic=with_logits(readout),
            factor=plan.pae,
            lr=spec.lr,
            momentum=spec.momentum,
            step="joint",
        )
        report(Event(stage="local", client=job.client, done=i + 1, total=spec.iterations, loss=sum(losses.values())))
        job.checkpoint.keep(partial(kept, state, i + 1))
    return state.images


def with_logits(readout: Tensor) -> Statistic:
    """Squared distance of the means of embeddings plus that of the logits; `readout` [classes, d]."""

    def loss(target: Tensor, drawn: int, embeddings: Tensor) -> Tensor:
        difference = target[0] - embeddings.mean(dim=0)
        return difference.square().sum() + (readout @ difference).square().sum()

    mean = STATISTICS["mean"]
    return Statistic(parts=mean.parts, additive=mean.additive, central=mean.central, loss=loss)


def moved(parameters: dict[str, Tensor], radius: float, stream: Stream) -> dict[str, Tensor]:
    """The parameters plus a step of length `radius` in a Gaussian direction over all of them together."""
    draws = stream.generator()
    steps = {name: torch.from_numpy(draws.standard_normal(value.shape)) for name, value in parameters.items()}
    length = torch.stack([step.square().sum() for step in steps.values()]).sum().sqrt()
    return {name: (value + radius / length * steps[name]).float() for name, value in parameters.items()}
