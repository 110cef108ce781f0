"""From settings and a data set's declared facts to a plan, and to a resolved engine."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from torch.utils.flop_counter import FlopCounterMode

from collabdm.config import Config, PlanSpec
from collabdm.data.presets import Preset
from collabdm.engine import Engine, resolve_engine
from collabdm.errors import ConfigError, explain
from collabdm.images.augment import OPERATIONS
from collabdm.images.pixels import Normalisation
from collabdm.kernels import fits
from collabdm.methods import method_named
from collabdm.networks import Architecture, NetworkSpec, build_network
from collabdm.progress import Event, Report, silent
from collabdm.protocol import LocalSpec, Plan
from collabdm.training.recipes import RECIPES, Recipe

__all__ = [
    "augmentation_for",
    "engine_for",
    "fitted",
    "make_plan",
    "network_for",
    "networks_tested",
    "normalisation_for",
    "recipe_for",
    "resolved",
    "settings_for",
    "work_of",
]

MOST_SAMPLES_OF_ALL_DATA = 100_000

Spec = TypeVar("Spec", bound=Architecture[Any])


def make_plan(
    config: Config, *, classes: Sequence[str], shape: tuple[int, int, int], preset: Preset, clients: Sequence[str]
) -> Plan:
    """ServerDM's part before the round (Algorithm 1, lines 2-6). `shape`: (C, H, W) of every sample.

    Raises `ConfigError` where the images are too small for the network or for the partition-and-expand factor.
    """
    network = network_for(config, preset)
    build_network(network, shape, len(classes))
    channels, height, width = shape
    refined = method_named(config.method).refined
    fields = {
        "seed": config.seed,
        "clients": tuple(sorted(clients)),
        "classes": tuple(classes),
        "sample": {"channels": channels, "height": height, "width": width},
        "normalisation": normalisation_for(config, preset),
        "network": network,
        "ipc": config.ipc,
        "seeds": config.plan.seeds,
        "participation": config.partition.participation,
        "batch": config.plan.batch,
        "most_held": config.plan.most_held,
        "pae": config.factor,
        "augment": augmentation_for(config, preset),
        "statistics": config.plan.statistics if refined else "none",
        "encoding": config.plan.encoding,
        "local": config.local,
    }
    try:
        return Plan.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "combination"
        got = repr(first.get("input"))[:80]
        raise ConfigError(explain(f"plan: {where}", got=got, expected=first["msg"], fix="correct it")) from None


def network_for(config: Config, preset: Preset) -> NetworkSpec:
    """The encoder: as set, with the depth that suits the data set's image size where none is given."""
    return fitted(config.plan.network or NetworkSpec(), preset)


def networks_tested(config: Config, preset: Preset) -> tuple[NetworkSpec, ...]:
    """The classifiers that judge a set: the encoder's architecture unless others are set."""
    return tuple(fitted(network, preset) for network in config.evaluate.networks or ()) or (
        network_for(config, preset),
    )


def recipe_for(config: Config) -> Recipe:
    """The evaluation recipe with the number of networks set; `fast` shows all the data fewer times than a small set."""
    recipe = RECIPES[config.evaluate.protocol]
    if recipe.most_samples is not None and method_named(config.method).source == "full":
        recipe = recipe.model_copy(update={"most_samples": MOST_SAMPLES_OF_ALL_DATA})
    chosen = {"count": config.evaluate.count, "epochs": config.evaluate.epochs}
    return recipe.model_copy(update={name: value for name, value in chosen.items() if value is not None})


def augmentation_for(config: Config, preset: Preset) -> tuple[str, ...]:
    """Operations of the augmentation: the data set's proposal, all, none, or as listed."""
    named = {"auto": preset.augment, "all": tuple(OPERATIONS), "none": ()}
    augment = config.plan.augment
    return tuple(named[augment]) if isinstance(augment, str) else augment


def normalisation_for(config: Config, preset: Preset) -> Normalisation:
    """Declared constants, or the data set's preset ones."""
    if isinstance(config.plan.normalisation, Normalisation):
        return config.plan.normalisation
    return Normalisation(mean=preset.mean, std=preset.std)


def resolved(
    configs: Sequence[Config], preset: Preset, shape: tuple[int, int, int], classes: int, *, report: Report = silent
) -> Engine:
    """The engine for the whole work of `configs` together, as the first of them asks."""
    networks = {spec for c in configs for spec in (network_for(c, preset), *networks_tested(c, preset))}
    own = all(fits(build_network(spec, shape, classes)) for spec in networks)
    return _resolved(configs[0], sum(work_of(c, preset, shape, classes) for c in configs), own, report)


def settings_for(config: Config, plan: Plan) -> Config:
    """A configuration for answering `plan`: its method if it is the plan's, else what the plan amounts to; its ipc."""
    refined = plan.statistics != "none"
    method = method_named(config.method)
    name = ("collabdm" if refined else "local-dm") + ("-pae" if plan.pae > 1 else "")
    if method.source == "round" and method.refined == refined and config.factor == plan.pae:
        name = method.name
    return config.model_copy(update={"method": name, "ipc": plan.ipc})


def engine_for(config: Config, plan: Plan, *, report: Report = silent) -> Engine:
    """The configured engine, or the one that suits one site's share of the plan's work. Raises `ConfigError`.

    It follows from the plan and the machine alone, so that sites and server agree: what the server does, and how the
    set is judged, is no site's work.
    """
    shape, classes, clients = plan.sample.shape, len(plan.classes), len(plan.clients)
    images = _clients_images(plan, plan.local, plan.ipc * classes * plan.pae**2, classes, clients)
    gigaflop = images / clients * _gigaflop(plan.network, shape, classes)
    return _resolved(config, gigaflop, fits(build_network(plan.network, shape, classes)), report)


def work_of(config: Config, preset: Preset, shape: tuple[int, int, int], classes: int) -> float:
    """A rough count of 10^9 operations: images through a network forward, or also back to images (2) or weights (3).

    Of rivals it counts the evaluation only.
    """
    method = method_named(config.method)
    clients = config.partition.clients if isinstance(config.partition.clients, int) else len(config.partition.clients)
    stored = config.ipc * classes * config.factor**2
    recipe = recipe_for(config)
    kinds = len(config.evaluate.networks or (None,))
    images = 3.0 * recipe.count * kinds * min(recipe.epochs * stored, recipe.most_samples or 10**12)
    if method.source == "round":
        images += _clients_images(config.plan, config.local, stored, classes, clients, central=method.central)
        images += 2 * config.server.passes * config.plan.seeds * method.refined * stored
    return images * _gigaflop(network_for(config, preset), shape, classes) * config.repeats


def fitted(network: Spec, preset: Preset) -> Spec:
    """A ConvNet without a depth gets the one that suits the data set's image size."""
    if network.name == "convnet" and network.depth is None and preset.depth != 3:
        return network.model_copy(update={"depth": preset.depth})
    return network


def _resolved(config: Config, gigaflop: float, own: bool, report: Report) -> Engine:
    if isinstance(config.engine, Engine):
        return config.engine

    def tell(line: str) -> None:
        report(Event(stage="engine", done=1, total=1, message=line))

    return resolve_engine(config.engine, config.device, gigaflop, own=own, tell=tell)


def _clients_images(
    plan: PlanSpec | Plan, local: LocalSpec, stored: int, classes: int, clients: int, *, central: bool = False
) -> float:
    """Images through a network at all clients together, each of which has half the classes; `stored`: samples of
    their local sets."""
    images = plan.seeds * plan.batch * classes * (1 if central else clients / 2)
    matched = local.iterations if local.method == "dm" else 0
    images += 2 * matched * stored
    if matched and not local.reuse:
        images += matched * local.batch * classes * clients / 2
    return images


@lru_cache(maxsize=64)
def _gigaflop(spec: NetworkSpec, shape: tuple[int, int, int], classes: int) -> float:
    """10^9 operations of one image through the network; counted once for all cells of a grid."""
    network = build_network(spec, shape, classes)
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        network(torch.empty(1, *shape))
    return counter.get_total_flops() / 1e9
