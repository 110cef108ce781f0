"""Which networks judge a set where none are named."""

import pytest
import torch

from collabdm.config import Config
from collabdm.data import generic_preset, preset_named
from collabdm.distilled import DistilledSet
from collabdm.evaluation.own import own_network, settled_for, suited
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.networks import NetworkSpec, spelled_out
from collabdm.planning import networks_tested
from collabdm.progress import Event

HALF = Normalisation(mean=(0.5,), std=(0.5,))
OWN = NetworkSpec(name="convnet", width=32, depth=1, norm="group", pooling="max")


def _set(side: int = 8, **facts: object) -> DistilledSet:
    return DistilledSet(
        samples=torch.zeros(2, 1, side, side),
        labels=torch.tensor([0, 1]),
        classes=("a", "b"),
        sample=Images(channels=1, height=side, width=side, normalisation=HALF),
        augment=(),
        method="collabdm",
        facts=facts,  # type: ignore[arg-type]
    )


def test_the_sets_own_encoder_in_all_its_parameters_and_one_line() -> None:
    told: list[Event] = []
    assert own_network(_set(network=OWN.model_dump(exclude_none=True)), report=told.append) == OWN
    assert [event.message for event in told] == [
        "network: convnet width=32 depth=1 norm=group activation=relu pooling=max, the set's own encoder"
    ]


@pytest.mark.parametrize(
    ("side", "network"),
    [(8, {"name": "later"}), (8, {"name": "convnet", "depth": 8}), (8, 7), (4, {"name": "alexnet", "depth": 1})],
)
def test_an_encoder_that_cannot_be_built_is_told(side: int, network: object) -> None:
    told: list[Event] = []
    usual = suited(NetworkSpec(name="convnet"), _set(side))
    assert own_network(_set(side, network=network), report=told.append) == usual
    (event,) = told
    assert "name a network that is not known" in str(event.message)


@pytest.mark.parametrize(("side", "depth"), [(4, 1), (7, 1), (8, 2), (32, None), (64, 4)])
def test_a_set_without_the_fact_is_judged_by_the_usual_network(side: int, depth: int | None) -> None:
    assert own_network(_set(side)) == NetworkSpec(name="convnet", depth=depth)


def test_settings_that_name_networks_come_first_and_the_test_data_do_not_matter() -> None:
    chosen, digits = _set(network={"name": "convnet", "width": 8}), preset_named("digits")
    assert digits is not None
    # An encoder of the network's own depth stays so, though a depth of 2 is usual for such test data.
    config, preset = settled_for(Config(), chosen, digits)
    assert networks_tested(config, preset) == (NetworkSpec(name="convnet", width=8),)
    for table in ({"evaluate": {"networks": ["alexnet"]}}, {"plan": {"network": "alexnet"}}):
        asked = Config(**table)
        config, preset = settled_for(asked, chosen, digits)
        assert networks_tested(config, preset) == (NetworkSpec(name="alexnet"),)
        assert preset == digits


def test_a_convnet_without_a_depth_gets_that_of_a_plan_for_such_images() -> None:
    for side in (2, 5, 8, 28, 64, 224):
        small, preset = _set(side), generic_preset("x", (1, side, side), ("a", "b"))
        assert (suited(NetworkSpec(), small),) == networks_tested(Config(), preset)
    assert suited(OWN, _set(64)) == OWN
    assert suited(NetworkSpec(name="vgg11"), _set(64)) == NetworkSpec(name="vgg11")


def test_networks_are_spelled_out_with_what_they_take_by_themselves() -> None:
    assert spelled_out(NetworkSpec()) == "convnet width=128 depth=3 norm=instance activation=relu pooling=avg"
    assert spelled_out(NetworkSpec(name="vgg11", norm="none")) == "vgg11 norm=none activation=relu"
