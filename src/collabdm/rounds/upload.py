"""A limit on the bytes that a client sends becomes settings: how many seeds, how many features, in how many bits."""

from collections.abc import Iterable
from typing import Any

from collabdm.config import Config
from collabdm.data.presets import Preset
from collabdm.errors import ConfigError, explain
from collabdm.methods import method_named
from collabdm.modalities import MODALITIES
from collabdm.planning import make_plan
from collabdm.protocol import GRAM, Plan, per_seed
from collabdm.protocol.sizes import expected_upload

__all__ = ["REACHED", "RUNGS", "fitted_upload"]

RUNGS = ((5, 0), (10, 0), (10, 32), (25, 32), (25, 64), (50, 64), (50, 128), (50, 208), (100, 208), (100, 304))
RUNGS += ((200, 304), (200, 432), (200, 512))
"""Seeds and width of the feature map (0: no Gram matrix), each rung larger than the one before: as bytes were worth
most on held-out training data (docs/wire.md)."""

REACHED = {(10, 0): 52.3, (10, 32): 52.6, (25, 64): 54.5, (50, 128): 55.7, (100, 208): 56.8}
"""Test accuracy in percent of sets at these rungs, by `experiment run ladder` (docs/results/ladder): CIFAR-10, ten
images per class, five clients of beta 0.1, one network."""

# What Huffman codes leave depends on the data: expected sizes are right to a few percent.
_MARGIN = 0.95

# The fewest bits at which nothing was lost that could be measured.
_ENCODING = "int6"


def fitted_upload(config: Config, preset: Preset, clients: Iterable[str], most: int) -> tuple[Config, str]:
    """`config` with the seeds, the encoding and the statistics that make the most of `most` bytes up a client, and a
    line that says what was chosen, how much it is expected to be, and how accurate the nearest measured set of images.

    Raises `ConfigError` for a method that sends no statistics, or where even the fewest seeds do not fit.
    """
    if not method_named(config.method).refined:
        got, fix = config.method, "choose collabdm or collabdm-pae, or leave --max-upload out"
        raise ConfigError(explain("--max-upload", got=got, expected="a method that sends statistics", fix=fix))
    names = sorted(clients)
    smallest = 0
    for seeds, width in reversed(RUNGS):
        chosen = _with(config, seeds, width)
        plan = make_plan(_open(chosen), clients=names, preset=preset)
        size = sum(expected_upload(plan).values())
        if size <= _MARGIN * most:
            return chosen, _told(plan, size) + (_reached(seeds, width) if config.modality == "images" else "")
        smallest = size
    got, expected = f"{most} bytes", f"at least {round(smallest / _MARGIN)} for the fewest seeds"
    fix = "allow more, or ask for fewer images per class (--ipc) or local.method=none"
    raise ConfigError(explain("--max-upload", got=got, expected=expected, fix=fix))


def _with(config: Config, seeds: int, width: int) -> Config:
    asked: dict[str, Any] = {"encoding": _ENCODING, "seeds": seeds}
    mine, feature_map = per_seed(config.plan.statistics), config.plan.features
    feature_map = feature_map or MODALITIES[config.modality].feature_map
    asked["statistics"] = mine
    if width and feature_map is not None:
        asked |= {"statistics": (mine, GRAM), "features": feature_map.model_copy(update={"width": width})}
    return config.model_copy(update={"plan": config.plan.model_copy(update=asked)})


def _open(config: Config) -> Config:
    """Without masks, whose keys are not at hand and of hardly any size."""
    privacy = config.plan.privacy
    summed = privacy and privacy.model_copy(update={"noise": "site"})
    return config.model_copy(update={"plan": config.plan.model_copy(update={"masks": None, "privacy": summed})})


def _reached(seeds: int, width: int) -> str:
    """What was measured at this rung; else at the nearest one."""
    place = RUNGS.index((seeds, width))
    nearest = min(REACHED, key=lambda rung: abs(RUNGS.index(rung) - place))
    at = "such a set" if nearest == (seeds, width) else f"a set of {nearest[0]} seeds and {8 * nearest[1]:,} features"
    return f"; to expect: {at} of CIFAR-10, ten images per class, five clients, had {REACHED[nearest]} % (one network)"


def _told(plan: Plan, size: int) -> str:
    gram = f", a Gram matrix of {plan.features.label}" if plan.features else ""
    parts = {name: f"{count / 1e6:.2f}" for name, count in expected_upload(plan).items() if count > 0.005 * size}
    shares = ", ".join(f"{name} {count}" for name, count in parts.items())
    return f"upload: about {size / 1e6:.2f} MB a client ({shares}): {plan.seeds} seeds in {plan.encoding}{gram}"
