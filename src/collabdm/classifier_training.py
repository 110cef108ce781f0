"""A classifier from a distilled set, as a run's settings say."""

import hashlib

from collabdm.classifier import Classifier, ClassifierSpec
from collabdm.config import Config
from collabdm.data import generic_preset
from collabdm.distilled_set import DistilledSet
from collabdm.engine import Engine
from collabdm.errors import ConfigError, explain
from collabdm.evaluation import network_seed
from collabdm.judging import training_set
from collabdm.networks import NetworkSpec
from collabdm.planning import networks_tested, protocol_for, resolved
from collabdm.progress import Event, Report, silent
from collabdm.training import train

__all__ = ["train_classifier"]


def train_classifier(distilled: DistilledSet, config: Config, *, report: Report = silent) -> tuple[Classifier, Engine]:
    """The first network that `evaluate` trains with the same settings, and the engine it was trained with.

    The settings under which the set's images were made of flows go with it.
    Raises `ConfigError` where several networks are asked for, or the set's images are too small for the one.
    """
    channels, height, width = distilled.images.shape[1:]
    shape, classes = (channels, height, width), len(distilled.classes)
    preset = generic_preset("distilled set", shape, distilled.classes)
    network = _only(networks_tested(config, preset))
    protocol = protocol_for(config).model_copy(update={"count": 1})
    samples = len(distilled) * distilled.factor**2
    once = config.evaluate.model_copy(update={"count": 1})
    work = config.model_copy(update={"method": "random-real", "ipc": -(-samples // classes), "evaluate": once})
    engine = resolved([work], preset, shape, classes, report=report)
    training = training_set(distilled)
    parameters = train(
        training,
        network,
        classes=classes,
        protocol=protocol,
        seed=network_seed(config.seed, network, 0),
        engine=engine,
        tell=lambda epoch, epochs, loss: report(Event(stage="train", done=epoch, total=epochs, loss=loss)),
    )
    flows = distilled.facts.get("flows")
    spec = ClassifierSpec(
        network=network,
        classes=distilled.classes,
        shape=(1 if channels == 1 else 3, height, width),
        normalisation=training.normalisation,
        flows=flows if isinstance(flows, dict) else None,
        facts={
            "distilled_set": hashlib.sha256(distilled.to_bytes()).hexdigest(),
            "method": distilled.method,
            **{name: distilled.facts[name] for name in ("dataset", "plan") if name in distilled.facts},
            "protocol": protocol.model_dump(mode="json", exclude={"count"}),
            "seed": config.seed,
            # Neither the number of threads nor that of processes changes what comes out.
            "engine": engine.model_dump(mode="json", exclude={"threads", "processes"}),
        },
    )
    return Classifier(spec=spec, parameters=parameters), engine


def _only(networks: tuple[NetworkSpec, ...]) -> NetworkSpec:
    if len(networks) != 1:
        names = ", ".join(network.name for network in networks)
        raise ConfigError(explain("networks", got=names, expected="a single one", fix="train them one by one"))
    return networks[0]
