"""Batch norm is for classifiers alone: every network with norms can have it, no encoder may."""

import inspect

import pytest
import torch
from pydantic import ValidationError
from torch.func import functional_call

from collabdm.config import load_config
from collabdm.errors import ConfigError
from collabdm.networks import (
    NETWORKS,
    BatchNorm,
    ClassifierSpec,
    NetworkSpec,
    build_network,
    initial_parameters,
    initial_running,
)
from collabdm.randomness import Stream


def test_an_encoder_cannot_have_it() -> None:
    with pytest.raises(ValidationError, match="one of instance, layer, group, none"):
        NetworkSpec.model_validate({"norm": "batch"})
    for setting in ('plan.network={name="convnet",norm="batch"}', 'evaluate.networks=[{norm="batch"}]'):
        with pytest.raises(ConfigError, match=r"norm: got 'batch'; expected one of instance, "):
            load_config(settings=[setting])


def test_it_is_a_classifiers_default() -> None:
    assert ClassifierSpec().label == "convnet norm=batch"
    assert load_config(settings=["rivals.training.network=resnet18"]).rivals.training.network == ClassifierSpec(
        name="resnet18"
    )
    # Setting one part of the network keeps the other defaults.
    deeper = load_config(settings=["rivals.training.network.depth=4"]).rivals.training.network
    assert deeper == load_config().rivals.training.network.model_copy(update={"depth": 4})
    assert deeper.norm == "batch"


# A feature map has at most the layer that makes all its embeddings one length.
WITH_NORMS = [
    name
    for name, make in NETWORKS.items()
    if "norm" in (known := inspect.signature(make).parameters) and known["norm"].default != "none"
]


@pytest.mark.parametrize("name", WITH_NORMS)
def test_every_network_with_norms_can_have_it(name: str) -> None:
    shape = (3, 32) if name == "convnet1d" else (3, 32, 32)
    network = build_network(ClassifierSpec.model_validate({"name": name}), shape, 10)
    norms = [part for part, module in network.named_modules() if isinstance(module, BatchNorm)]
    parameters, running = initial_parameters(network, Stream(0, "classifier")), initial_running(network)
    assert set(running) == {f"{part}.{kept}" for part in norms for kept in ("running_mean", "running_var")}
    assert set(parameters) == {part for part, _ in network.named_parameters()}
    assert all(not value.any() for part, value in running.items() if part.endswith("mean"))
    assert all((value == 1).all() for part, value in running.items() if part.endswith("var"))
    logits = functional_call(network.eval(), parameters | running, (torch.zeros(2, *shape),))
    assert logits.shape == (2, 10)


def test_without_it_nothing_runs() -> None:
    assert initial_running(build_network(NetworkSpec(), (3, 32, 32), 10)) == {}
