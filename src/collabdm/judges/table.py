"""The judges by name, and fields of settings that hold a network or a judge. A new one is a class and a line here."""

from collections import ChainMap
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, SerializeAsAny

from collabdm.judges.base import JudgeSpec
from collabdm.judges.families import Boosting, Forest, Logistic, NearestNeighbours, Ridge
from collabdm.judges.rocket_ridge import RocketRidge
from collabdm.networks import NETWORKS, Architecture, NetworkSpec, spelled_out
from collabdm.registry import named_in

__all__ = ["JUDGES", "AnyJudge", "described", "judge_in"]

JUDGES: dict[str, type[JudgeSpec]] = {
    "logistic": Logistic,
    "knn": NearestNeighbours,
    "forest": Forest,
    "boosting": Boosting,
    "ridge": Ridge,
    "rocket-ridge": RocketRidge,
}


class _Named(BaseModel):
    name: Annotated[str, named_in(ChainMap[str, Any](JUDGES, NETWORKS))]


def judge_in(given: Any) -> NetworkSpec | JudgeSpec:
    """The network or judge that a name, or a table with a `name`, describes; a table without one is a ConvNet's.

    Raises `ValueError` (pydantic's, which says where) for an unknown name or setting.
    """
    if isinstance(given, NetworkSpec | JudgeSpec):
        return given
    fields = {"name": given} if isinstance(given, str) else given
    if isinstance(fields, Mapping) and "name" in fields:
        name = _Named.model_validate({"name": fields["name"]}).name
        return (JUDGES.get(name) or NetworkSpec).model_validate(dict(fields))
    return NetworkSpec.model_validate(fields)


AnyJudge = Annotated[SerializeAsAny[NetworkSpec | JudgeSpec], BeforeValidator(judge_in)]
"""A field that holds a `NetworkSpec` or a `JudgeSpec`."""


def described(spec: Architecture[Any] | JudgeSpec) -> str:
    """For people: the name and every setting, as in `knn neighbours=1` or `convnet width=128 depth=3 ...`."""
    return spec.spelled_out if isinstance(spec, JudgeSpec) else spelled_out(spec)
