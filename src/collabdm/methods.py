"""The methods that share one protocol, each a line: where its data is, what its clients send, what its server does."""

from typing import Any, Literal

from pydantic import BaseModel

from collabdm.errors import ConfigError, unknown_name

__all__ = ["METHODS", "Method", "method_named", "method_of"]


class Method(BaseModel, frozen=True, extra="forbid"):
    """One row of a comparison.

    `source`: `round` (one round of the protocol), or a set of `real` images drawn from the pooled data, or all of it
    (`full`), or a `rival` (a new one is one file in
    `collabdm.baselines` and one line here). `refined`: the server matches the clients' statistics; without it,
    the union of the local sets is the result and no statistics travel. `central`: all data in one place, so nothing
    travels. `pae`: partition and expand. `run`: of a rival, its `Rival`, or where that is, as `package.module:name`.
    """

    name: str
    source: Literal["round", "real", "full", "rival"] = "round"
    refined: bool = False
    central: bool = False
    pae: bool = False
    run: Any = None


def _rival(name: str, where: str, *, central: bool = False) -> Method:
    return Method(name=name, source="rival", central=central, run=f"collabdm.baselines.{where}")


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
        _rival("analytic", "analytic:ANALYTIC"),
        _rival("fedavg", "fedavg:FEDAVG"),
        _rival("ensemble", "ensemble:ENSEMBLE"),
        _rival("dense", "dense:DENSE"),
        _rival("co-boosting", "co_boosting:CO_BOOSTING"),
        _rival("fedd3", "local_sets:FEDD3"),
        _rival("fedd3-gmm", "local_sets:FEDD3_GMM"),
        _rival("fedd3-dbscan", "local_sets:FEDD3_DBSCAN"),
        _rival("dosfl", "local_sets:DOSFL"),
        _rival("dosfl-soft", "dosfl_soft:DOSFL_SOFT"),
        _rival("feddm", "local_sets:FEDDM"),
        _rival("fed-kmeans", "local_sets:FED_KMEANS"),
        _rival("fed-agglomerative", "local_sets:FED_AGGLOMERATIVE"),
        _rival("fed-herding", "local_sets:FED_HERDING"),
        _rival("k-fed", "k_fed:K_FED"),
        _rival("central-kmeans", "central_sets:CENTRAL_KMEANS", central=True),
        _rival("central-agglomerative", "central_sets:CENTRAL_AGGLOMERATIVE", central=True),
        _rival("central-herding", "central_sets:CENTRAL_HERDING", central=True),
        _rival("strawman-gradient", "strawman:STRAWMAN_GRADIENT"),
        _rival("strawman-meta", "strawman:STRAWMAN_META"),
    )
}


def method_named(name: str) -> Method:
    """The method, or a `ConfigError` that lists them."""
    if name not in METHODS:
        raise ConfigError(unknown_name("method", name, METHODS))
    return METHODS[name]


def method_of(*, refined: bool, tiles: int) -> str:
    """The name of the method that a round amounts to: whether the server refines, and the tiles of a sample."""
    return ("collabdm" if refined else "local-dm") + ("-pae" if tiles > 1 else "")
