"""How much work settings or a plan mean, and the engine that suits it."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from collabdm.config import Config, PlanSpec
from collabdm.data.presets import Preset
from collabdm.engine import Engine, resolve_engine
from collabdm.engine.plain import plain_torch
from collabdm.kernels import fits, library_remark
from collabdm.methods import method_named, method_of
from collabdm.networks import Architecture, NetworkSpec, build_network
from collabdm.planning.choices import local_for, network_for, networks_tested, recipe_for, sample_for, tiles_in
from collabdm.progress import Event, Report, silent
from collabdm.protocol import LocalSpec, Plan

__all__ = ["engine_for", "gigaflop", "resolved", "settings_for", "work_of"]


@plain_torch()
def resolved(configs: Sequence[Config], preset: Preset, *, report: Report = silent) -> Engine:
    """The engine for the whole work of `configs` together on such data, as the first of them asks."""
    named = [spec for c in configs for spec in (network_for(c, preset), *networks_tested(c, preset))]
    networks = {spec for spec in named if isinstance(spec, NetworkSpec)}
    shape = sample_for(configs[0], preset).shape
    own = all(fits(build_network(spec, shape, len(preset.classes))) for spec in networks)
    return _resolved(configs[0], sum(work_of(c, preset) for c in configs), own, report)


def settings_for(config: Config, plan: Plan) -> Config:
    """A configuration for answering `plan`: its method if it is the plan's, else what the plan amounts to; its ipc, and
    the kind of its samples."""
    refined = plan.statistics != "none"
    method = method_named(config.method)
    name = method_of(refined=refined, tiles=plan.tiles)
    if method.source == "round" and method.refined == refined and config.tiles == plan.tiles:
        name = method.name
    return config.model_copy(update={"method": name, "ipc": plan.ipc, "modality": plan.sample.kind})


@plain_torch()
def engine_for(config: Config, plan: Plan, *, report: Report = silent) -> Engine:
    """The configured engine, or the one that suits one site's share of the plan's work. Raises `ConfigError`.

    It follows from the plan and the machine alone, so that sites and server agree: what the server does, and how the
    set is judged, is no site's work.
    """
    shape, classes, clients = plan.sample.shape, len(plan.classes), len(plan.clients)
    samples = _clients_samples(plan, plan.local, plan.ipc * classes * plan.tiles**2, classes, clients)
    work = samples / clients * gigaflop(plan.network, shape, classes)
    return _resolved(config, work, fits(build_network(plan.network, shape, classes)), report)


def work_of(config: Config, preset: Preset) -> float:
    """A rough count of 10^9 operations: samples through a network forward, or also back to samples (2) or weights (3).

    Of rivals it counts the evaluation only.
    """
    method, classes = method_named(config.method), len(preset.classes)
    clients = config.partition.clients if isinstance(config.partition.clients, int) else len(config.partition.clients)
    sample = sample_for(config, preset)
    stored = config.ipc * classes * tiles_in(config, sample) ** 2
    recipe = recipe_for(config)
    kinds = sum(isinstance(spec, NetworkSpec) for spec in networks_tested(config, preset))
    samples = 3.0 * recipe.count * kinds * min(recipe.epochs * stored, recipe.most_samples or 10**12)
    if method.source == "round":
        samples += _clients_samples(config.plan, local_for(config), stored, classes, clients, central=method.central)
        samples += 2 * config.server.passes * config.plan.seeds * method.refined * stored
    return samples * gigaflop(network_for(config, preset), sample.shape, classes) * config.repeats


def _resolved(config: Config, work: float, own: bool, report: Report) -> Engine:
    def tell(line: str) -> None:
        report(Event(stage="engine", done=1, total=1, message=line))

    if isinstance(config.engine, Engine):
        remark = library_remark() if config.engine.fuses and own else None
        if remark:
            tell(remark)
        return config.engine
    engine = resolve_engine(config.engine, config.device, work, own=own, tell=tell)
    if engine.kind == "compiled":
        made_by = "our own kernels" if own and engine.fuses else "torch's compiler"
        tell(f"{made_by} in {engine.dtype}, as is fastest on this machine ({engine.device}, threads: {engine.threads})")
    return engine


def _clients_samples(
    plan: PlanSpec | Plan, local: LocalSpec, stored: int, classes: int, clients: int, *, central: bool = False
) -> float:
    """Samples through a network at all clients together, each of which has half the classes; `stored`: those of
    their local sets."""
    samples = plan.seeds * plan.batch * classes * (1 if central else clients / 2)
    matched = local.iterations if local.method == "dm" else 0
    samples += 2 * matched * stored
    if matched and not local.reuse:
        samples += matched * local.batch * classes * clients / 2
    return samples


@lru_cache(maxsize=64)
def gigaflop(spec: Architecture[Any], shape: tuple[int, ...], classes: int) -> float:
    """10^9 operations of one sample through the network, a multiplication and its addition counted as two; counted once
    for all cells of a grid."""
    network = build_network(spec, shape, classes)
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        network(torch.empty(1, *shape))
    return counter.get_total_flops() / 1e9
