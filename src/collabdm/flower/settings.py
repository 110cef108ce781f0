"""What an operator sets with `flwr run --run-config` and a site with `flower-supernode --node-config`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from collabdm.config import Config, load_config
from collabdm.errors import ConfigError, explain, got_in, told

__all__ = ["NodeSettings", "RunSettings", "node_settings", "run_settings"]


def _absolute(path: Path | None) -> Path | None:
    # Flower starts the apps in folders of its own.
    if path is not None and not path.is_absolute():
        raise ValueError("an absolute path")
    return path


# TOML has no null: an empty text stands for a setting that is not made.
_OptionalPath = Annotated[Path | None, BeforeValidator(lambda text: text or None), AfterValidator(_absolute)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class _Settings(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, alias_generator=lambda name: name.replace("_", "-")
    )


class RunSettings(_Settings):
    """One round as its operator wants it.

    `plan`: the plan file. `out`: the run folder; a folder with this plan is gone on with. `deadline`: seconds that
    clients have to answer. `min_clients`: contributions needed, 0 for half of the clients. `config`: a TOML file with
    the server's settings; in Flower's simulation also how the data are shared among the nodes.
    """

    plan: AbsolutePath
    out: AbsolutePath
    config: _OptionalPath = None
    deadline: Annotated[float, Field(gt=0, le=30 * 86400)] = 3600.0
    min_clients: Annotated[int, Field(ge=0)] = 0
    allow_missing_classes: bool = False

    @property
    def configuration(self) -> Config:
        """The settings in `config`, or the defaults. Raises `ConfigError`."""
        return load_config(file=self.config)


class NodeSettings(_Settings):
    """One site: its name in the plan, its data, and where its finished contributions are kept; `key`: the private
    key's file, where plans have masks.

    `partition_id` and `num_partitions` are what Flower's simulation gives its nodes instead.
    """

    client: str | None = None
    dataset: str | None = None
    cache: _OptionalPath = None
    key: _OptionalPath = None
    engine: str = "auto"
    device: str = "auto"
    partition_id: Annotated[int, Field(ge=0)] | None = None
    num_partitions: int | None = None


def run_settings(values: Mapping[str, Any]) -> RunSettings:
    """The run configuration of Flower, checked; raises `ConfigError` naming the key."""
    return _checked(RunSettings, values, "--run-config")


def node_settings(values: Mapping[str, Any]) -> NodeSettings:
    """The node configuration of Flower, checked; raises `ConfigError` naming the key."""
    return _checked(NodeSettings, values, "--node-config")


_Model = TypeVar("_Model", bound=_Settings)


def _checked(model: type[_Model], values: Mapping[str, Any], option: str) -> _Model:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        got = got_in(first) if where else "settings that do not go together"
        what = f"{option} {where}".strip()
        raise ConfigError(explain(what, got=got, expected=told(first), fix="correct it")) from None
