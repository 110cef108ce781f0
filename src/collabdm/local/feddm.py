"""FedDM's local stage (Xiong et al., CVPR 2023): means of features and of logits matched around one network.

The logits are linear in the features, so their means follow from the means of the features: this is distribution
matching with another distance.
"""

from functools import partial

import torch
from torch import Tensor

from collabdm.local.dm import fresh_targets, kept, on_engine, resumed
from collabdm.local.start import LocalJob
from collabdm.matching.embedding import embedder_for
from collabdm.matching.statistic import MEAN, Statistic
from collabdm.matching.step import Descent, Encoding, Targets, matching_step
from collabdm.networks import build_network, initial_parameters
from collabdm.progress import Event, Report
from collabdm.protocol import FedDMSpec
from collabdm.randomness import Stream

__all__ = ["moved", "one_network_samples", "with_logits"]


def one_network_samples(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """Initial samples [n, *shape] with labels [n], after gradient descent on both distances, without augmentation.

    The network is the one of the plan's seed, the same for all clients: the server's initial model of round 1.
    """
    plan, spec, engine = job.plan, job.plan.local.own(FedDMSpec), job.engine
    embedder = embedder_for(plan.network, plan.sample.shape, engine)
    network = build_network(plan.network, plan.sample.shape, len(plan.classes))
    server = initial_parameters(network, Stream(plan.seed, "server model"))
    begin, state = resumed(job.checkpoint, samples, labels)
    members = job.members
    for i in range(begin, spec.iterations):
        near = moved(server, spec.radius, Stream(plan.seed, "feddm", job.client, i))
        readout = near.pop("classifier.weight").to(engine.device, engine.sample_dtype)
        near.pop("classifier.bias")
        encoder = embedder.placed(near)
        drawn = {
            y: rows[Stream(plan.seed, "local-batch", job.client, i, y).choose(len(rows), spec.batch)]
            for y, rows in members.items()
        }
        targets = fresh_targets(job, embedder, encoder, drawn, dict.fromkeys(members))
        state, losses = matching_step(
            state,
            Targets(statistic=with_logits(readout), classes={y: on_engine(t, engine) for y, t in targets.items()}),
            Encoding(embedder=embedder, parameters=encoder, sample=plan.sample, tiles=plan.tiles),
            Descent(lr=spec.lr, momentum=spec.momentum),
        )
        report(Event(stage="local", client=job.client, done=i + 1, total=spec.iterations, loss=sum(losses.values())))
        job.checkpoint.keep(partial(kept, state, i + 1))
    return state.samples


def with_logits(readout: Tensor) -> Statistic:
    """Squared distance of the means of embeddings plus that of the logits; `readout` [classes, d]."""

    def loss(target: Tensor, drawn: int, embeddings: Tensor) -> Tensor:
        difference = target[0] - embeddings.mean(dim=0)
        return difference.square().sum() + (readout @ difference).square().sum()

    return Statistic(terms=MEAN.terms, loss=loss)


def moved(parameters: dict[str, Tensor], radius: float, stream: Stream) -> dict[str, Tensor]:
    """The parameters plus a step of length `radius` in a Gaussian direction over all of them together."""
    draws = stream.generator()
    steps = {name: torch.from_numpy(draws.standard_normal(value.shape)) for name, value in parameters.items()}
    length = torch.stack([step.square().sum() for step in steps.values()]).sum().sqrt()
    return {name: (value + radius / length * steps[name]).float() for name, value in parameters.items()}
