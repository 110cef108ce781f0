"""Settings that a plan has decided already: whoever answers it, or distils, cannot have them otherwise."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from collabdm.config import Config
from collabdm.errors import ConfigError, explain
from collabdm.methods import method_named, method_of
from collabdm.planning.plans import promised
from collabdm.protocol import LocalSpec, Plan

__all__ = ["check_decided", "check_site_settings"]

# What is another party's work at a site that answers a plan: of the server, of whoever judges, of a simulation.
_ELSEWHERE = ("partition", "server", "evaluate", "rivals", "repeats")
_MOST_NAMED = 4


def check_decided(config: Config, plan: Plan, *, defaults: bool = True) -> None:
    """Raise `ConfigError` where a setting that was given is not what the plan says.

    Only what somebody set is looked at, in a preset, a file or one by one. What is left open (`auto`) is no
    contradiction. Without `defaults` neither is a default: the `config.toml` of a round by files names every setting,
    and those of the plan as they are where nobody says otherwise.
    """
    wrong = _contradictions(config, plan)
    if not defaults:
        usual = Config(modality=config.modality)
        wrong = {key: pair for key, pair in wrong.items() if pair[0] != _setting(usual, key)}
    if wrong:
        named = [f"{key} = {got}, where the plan has {asked}" for key, (got, asked) in wrong.items()]
        fix = "leave that out; only another plan changes it, and all sites then answer that one"
        raise ConfigError(explain("settings", got=_some(named), expected="none that the plan decides", fix=fix))


def check_site_settings(config: Config, plan: Plan) -> None:
    """`check_decided`, and no setting that does nothing at a site. Raises `ConfigError`."""
    check_decided(config, plan)
    usual = Config(dataset=config.dataset, modality=config.modality)
    others = [key for key in _ELSEWHERE if getattr(config, key) != getattr(usual, key)]
    if others:
        expected = "only what a site decides: its data, device and engine"
        fix = "leave that out: it does nothing at a site"
        raise ConfigError(explain("settings of a site", got=_some(others), expected=expected, fix=fix))


def _contradictions(config: Config, plan: Plan) -> dict[str, tuple[Any, Any]]:
    """By dotted key: what was set, and what the plan has."""
    wrong: dict[str, tuple[Any, Any]] = {}
    for key, asked in {"ipc": plan.ipc, "seed": plan.seed}.items():
        if key in config.model_fields_set and getattr(config, key) != asked:
            wrong[key] = getattr(config, key), asked
    refined, method = plan.statistics != "none", method_named(config.method)
    fits = method.source == "round" and method.refined == refined and (method.pae or plan.tiles == 1)
    if "method" in config.model_fields_set and not fits:
        wrong["method"] = config.method, method_of(refined=refined, tiles=plan.tiles)
    # A promise of privacy implies settings of its own, wherever they were not set.
    meant = promised(config.model_copy(update={"plan": config.plan.model_copy(update={"privacy": plan.privacy})}))
    given = {key: getattr(meant.plan, key) for key in config.plan.model_fields_set}
    if not refined:
        given.pop("statistics", None)
    for key in ("augment", "normalisation", "sample", "masks", "privacy"):
        given.pop(key, None)
    wrong |= _different(given, plan, "plan")
    if config.plan.privacy not in (None, plan.privacy):
        wrong["plan.privacy"] = "another promise", "its own" if plan.privacy else "none"
    wrong |= _of_sample(config, plan)
    if config.local != LocalSpec():
        wrong |= _different(
            {key: getattr(meant.local, key) for key in config.local.model_fields_set}, plan.local, "local"
        )
    return wrong


def _of_sample(config: Config, plan: Plan) -> dict[str, tuple[Any, Any]]:
    """What was set otherwise of how samples are read and changed."""
    wrong: dict[str, tuple[Any, Any]] = {}
    named = {"none": (), "all": tuple(plan.sample.operations)}
    augment = config.plan.augment
    asked = named.get(augment) if isinstance(augment, str) else augment
    if asked is not None and set(asked) != set(plan.augment):
        wrong["plan.augment"] = ", ".join(asked) or "none", ", ".join(plan.augment) or "none"
    if config.plan.normalisation not in ("auto", asked := getattr(plan.sample, "normalisation", None)):
        wrong["plan.normalisation"] = "another", "none" if asked is None else "its own"
    return wrong | _different(config.plan.sample, plan.sample, "plan.sample")


def _different(given: Mapping[str, Any], decided: BaseModel, above: str) -> dict[str, tuple[Any, Any]]:
    """Of the `given` values, those that `decided` has otherwise; of a table, its own keys that were set."""
    wrong: dict[str, tuple[Any, Any]] = {}
    for key, value in given.items():
        asked = getattr(decided, key, None)
        if value is None or (asked is None and key in ("features", "gram_bits")):
            continue
        if isinstance(value, BaseModel) and isinstance(asked, BaseModel):
            inner = {name: getattr(value, name) for name in value.model_fields_set}
            wrong |= _different(inner, asked, f"{above}.{key}")
        elif value != asked:
            wrong[f"{above}.{key}"] = value, asked
    return wrong


def _setting(config: Config, key: str) -> Any:
    """The setting of a dotted key; None where there is none."""
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name, None)
    return value


def _some(named: list[str]) -> str:
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return ", ".join(named[:_MOST_NAMED]) + more
