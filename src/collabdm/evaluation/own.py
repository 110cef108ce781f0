"""Which networks judge a set where none are named: its own encoder, the one whose features it was matched under."""

import json
from dataclasses import replace
from typing import TypeVar

from pydantic import ValidationError

from collabdm.config import Config
from collabdm.data.presets import Preset, usual_depth
from collabdm.distilled import DistilledSet
from collabdm.errors import ConfigError, printable
from collabdm.judges.base import JudgeSpec
from collabdm.networks import NetworkSpec, build_network, spelled_out
from collabdm.progress import Event, Report, silent

__all__ = ["own_network", "settled_for", "suited"]

Spec = TypeVar("Spec", bound=NetworkSpec | JudgeSpec)


def own_network(distilled: DistilledSet, *, stage: str = "evaluate", report: Report = silent) -> NetworkSpec:
    """The encoder that the set's facts name, else the usual one for such samples; which of them, and why, is told.

    Where samples have a judge that is not their usual encoder, that encoder gives way to it.
    """
    judge, fact = distilled.sample.judge, distilled.facts.get("network")
    if judge is not None and (not isinstance(fact, dict) or fact.get("name") == distilled.sample.network):
        told = f"network: {spelled_out(NetworkSpec(name=judge))}, the usual judge of {distilled.sample.plural}"
        report(Event(stage=stage, done=0, total=1, message=told))
        return NetworkSpec(name=judge)
    usual = suited(NetworkSpec(name=distilled.sample.network), distilled)
    if "network" not in distilled.facts:
        told = f"network: {spelled_out(usual)}, the usual one, as the set does not say which encoder made it"
        report(Event(stage=stage, done=0, total=1, message=told))
        return usual
    fact = distilled.facts["network"]
    try:
        own = NetworkSpec.model_validate(fact)
        build_network(own, distilled.sample.shape, len(distilled.classes))
    except (ValidationError, ConfigError):
        named = printable(json.dumps(fact)[:100])
        told = f"the set's facts name a network that is not known ({named}): judged by {spelled_out(usual)}"
        report(Event(stage=stage, done=0, total=1, message=told))
        return usual
    told = f"network: {spelled_out(own)}, the set's own encoder"
    report(Event(stage=stage, done=0, total=1, message=told))
    return own


def settled_for(
    config: Config, distilled: DistilledSet, preset: Preset, *, stage: str = "evaluate", report: Report = silent
) -> tuple[Config, Preset]:
    """`config` and `preset` under which `planning.networks_tested` gives the set's own encoder; as they are where
    `config` names networks itself."""
    if config.evaluate.networks is not None or config.plan.network is not None:
        return config, preset
    own = own_network(distilled, stage=stage, report=report)
    plan = config.plan.model_copy(update={"network": own})
    # What the encoder leaves open is the network's own default, whatever suits the size of the test data.
    return config.model_copy(update={"plan": plan}), replace(preset, depth=Preset.depth)


def suited(network: Spec, distilled: DistilledSet) -> Spec:
    """A ConvNet without a depth gets the one that suits the set's images, as in a plan for them."""
    depth = usual_depth(distilled.sample.shape)
    if (
        isinstance(network, NetworkSpec)
        and network.name == "convnet"
        and network.depth is None
        and depth != Preset.depth
    ):
        return network.model_copy(update={"depth": depth})
    return network
