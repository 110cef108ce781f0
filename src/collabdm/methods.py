"""The methods that share one protocol, each a line: where its data is, what its clients send, what its server does."""

from typing import Literal

from pydantic import BaseModel

from collabdm.errors import ConfigError, explain

__all__ = ["METHODS", "Method", "method_named"]


class Method(BaseModel, frozen=True, extra="forbid"):
    """One row of a comparison.

    `source`: `round` (one round of the protocol), or a set of `real` images drawn from the pooled data, or all of it
    (`full`), or a `rival` (`collabdm.baselines`). `refined`: the server matches the clients' statistics; without it,
    the union of the local sets is the result and no statistics travel. `central`: all data in one place, so nothing
    travels. `pae`: partition and expand.
    """

    name: str
    source: Literal["round", "real", "full", "rival"] = "round"
    refined: bool = False
    central: bool = False
    pae: bool = False


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(name="random-real", source="real"),
        Method(name="random-real-pae", source="real", pae=True),
        Method(name="local-dm"),
        Method(name="local-dm-pae", pae=True),
        Method(name="collabdm", refined=True),
        Method(name="collabdm-pae", refined=True, pae=True),
        Method(name="central-dm", refined=True, central=True),
        Method(name="central-dm-pae", refined=True, central=True, pae=True),
        Method(name="full-data", source="full"),
        Method(name="fedavg", source="rival"),
        Method(name="ensemble", source="rival"),
        Method(name="dense", source="rival"),
        Method(name="co-boosting", source="rival"),
        Method(name="fedd3", source="rival"),
        Method(name="fedd3-gmm", source="rival"),
        Method(name="fedd3-dbscan", source="rival"),
        Method(name="dosfl", source="rival"),
        Method(name="dosfl-soft", source="rival"),
        Method(name="feddm", source="rival"),
        Method(name="strawman-gradient", source="rival"),
        Method(name="strawman-meta", source="rival"),
    )
}


def method_named(name: str) -> Method:
    """The method, or a `ConfigError` that lists them."""
    if name not in METHODS:
        raise ConfigError(
            explain("method", got=name[:80], expected=f"one of {', '.join(METHODS)}", fix="choose one of them")
        )
    return METHODS[name]
