"""The settings of a run: one frozen tree, the same in a TOML file, in `--set key=value` and in Python.

Unknown keys are errors. A preset is a partial tree under everything the user gives.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from collabdm.config.explaining import explained
from collabdm.config.renamed import with_new_names
from collabdm.config.rivals import RivalsSpec
from collabdm.config.server import UNBOUNDED, ServerSpec
from collabdm.data import modality_of
from collabdm.data.partition import PartitionKind
from collabdm.engine import Engine, EngineName
from collabdm.errors import ConfigError, explain
from collabdm.images.pixels import Normalisation
from collabdm.judges.table import AnyJudge
from collabdm.methods import method_named
from collabdm.modalities import AUTO, MODALITIES, ModalityName
from collabdm.networks import NetworkSpec
from collabdm.protocol import EncodingName, GramBits, LocalSpec, MaskSettings, PrivacySpec, StatisticNames
from collabdm.registry import named_in
from collabdm.storage.reading import read_text
from collabdm.training.recipes import RECIPES

__all__ = [
    "PRESETS",
    "Config",
    "DataSpec",
    "EvaluateSpec",
    "PartitionSpec",
    "PlanSpec",
    "config_toml",
    "load_config",
    "make_config",
    "setting_tree",
]


_MOST_TOML = 16 * 2**20

# The network of `plan.features` where settings say how it is, but not which.
_FEATURE_MAP = "patches"


def _network(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _features(value: object) -> object:
    # Whoever names a width alone means that of the feature map made for this, not of an encoder.
    named = _network(value)
    return {"name": _FEATURE_MAP, **named} if isinstance(named, Mapping) else named


def _several(value: object) -> object:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _operations(value: object) -> object:
    # The three words are the other branch: what is wrong with any other text is told of the operations.
    return value if value in ("auto", "none", "all") else _several(value)


Network = Annotated[NetworkSpec, BeforeValidator(_network)]
Features = Annotated[NetworkSpec, BeforeValidator(_features)]


class DataSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How data are read whose kind leaves it open, such as tables.

    `label`: the column of labels; `schema_file`: the declared columns, as `collabdm schema` proposes them;
    `test_fraction`: the share of the rows that are for testing, where the data have no test part; `group`: a column of
    which all rows with one value are on one side of that; `ignore`: columns that are no features.
    """

    label: Annotated[str, Field(min_length=1)] | None = None
    schema_file: Annotated[str, Field(min_length=1)] | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    group: Annotated[str, Field(min_length=1)] | None = None
    ignore: Annotated[tuple[str, ...], BeforeValidator(_several)] = ()


class PartitionSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How one data set is shared among simulated clients.

    `reserve`: the samples of every class that `dirichlet-reserved` gives every client first; unset, ipc. `missing`: the
    client that gets the rows of which the `column` names none; unset, such rows are an error.
    """

    kind: PartitionKind = "dirichlet"
    clients: Annotated[Annotated[int, Field(ge=1)] | tuple[str, ...], BeforeValidator(_several)] = 5
    beta: Annotated[float, Field(gt=0)] = 0.1
    reserve: Annotated[int, Field(ge=1)] | None = None
    column: str | None = None
    missing: Annotated[str, Field(min_length=1)] | None = None
    balance: bool = False

    @model_validator(mode="after")
    def _column_given(self) -> "PartitionSpec":
        if (self.kind == "by-column") != (self.column is not None):
            raise ValueError("partition.column goes with partition.kind = by-column")
        if self.missing is not None and self.column is None:
            raise ValueError("partition.missing goes with partition.column")
        return self


class PlanSpec(BaseModel, frozen=True, extra="forbid"):
    """What clients are asked for; `auto` takes the data set's proposal, `tiles` unset 2 for images
    where the method has tiles, else 1.

    `participation`: the share of the clients that take part at a seed (epsilon). `most_held` unset: a client's weight
    is what it says to hold. `min_held`: a client leaves out classes of which it holds fewer. `statistics`: one of the
    seeds, `gram`, or both in a list; `features`: the network that is the fixed feature map of `gram`, unset what suits
    the modality; `gram_bits`: of one number of it on the wire. `sample`: fields of the modality that are to be others
    than the data set's facts say, such as the length of series. `privacy`: a promise of differential privacy, with
    which go statistics, a feature map and a local set of their own (`planning.promised`). `masks`: that the server is
    to read nothing but the sum of all sites, whose public keys `make_plan` then takes.
    """

    seeds: Annotated[int, Field(ge=0)] = 200
    participation: Annotated[float, Field(gt=0, le=1)] = 1.0
    batch: Annotated[int, Field(ge=1)] = 512
    most_held: Annotated[int, Field(ge=1)] | None = None
    min_held: Annotated[int, Field(ge=1)] = 2
    network: Network | None = None
    tiles: Annotated[int, Field(ge=1)] | None = None
    augment: Literal["auto", "none", "all"] | Annotated[tuple[str, ...], BeforeValidator(_operations)] = "auto"
    statistics: StatisticNames = "mean"
    features: Features | None = None
    gram_bits: GramBits = 8
    encoding: EncodingName = "fp16"
    normalisation: Literal["auto"] | Normalisation = "auto"
    sample: dict[str, Any] = {}
    privacy: PrivacySpec | None = None
    masks: MaskSettings | None = None


class EvaluateSpec(BaseModel, frozen=True, extra="forbid"):
    """How a set is judged: by `count` networks of each kind (or `JUDGES`), for `epochs`, as the protocol says."""

    protocol: Annotated[str, named_in(RECIPES)] = "fast"
    networks: Annotated[tuple[AnyJudge, ...], BeforeValidator(_several), Field(min_length=1)] | None = None
    count: Annotated[int, Field(ge=1, le=10_000)] | None = None
    epochs: Annotated[int, Field(ge=1)] | None = None


class Config(BaseModel, frozen=True, extra="forbid"):
    """A whole run. `repeats` are whole experiments with fresh partitions and seeds; `modality`: what the data are, of
    which `auto` becomes the one that the source tells (`collabdm.data.modality_of`)."""

    dataset: str = "digits"
    modality: ModalityName = AUTO
    data: DataSpec = DataSpec()
    method: str = "collabdm-pae"
    ipc: Annotated[int, Field(ge=1)] = 10
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 0
    repeats: Annotated[int, Field(ge=1)] = 1
    device: str = "auto"
    engine: EngineName | Engine = "auto"
    partition: PartitionSpec = PartitionSpec()
    plan: PlanSpec = PlanSpec()
    local: LocalSpec = LocalSpec()
    server: ServerSpec = ServerSpec()
    evaluate: EvaluateSpec = EvaluateSpec()
    rivals: RivalsSpec = RivalsSpec()

    def __init__(self, **settings: Any) -> None:
        """Settings by name, tables as dictionaries or as their classes; raises `ConfigError` naming the first bad key.

        A setting under a name that it no longer has is read, with a `RenamedWarning`.
        """
        try:
            super().__init__(**with_new_names(settings))
        except ValidationError as error:
            raise explained(error, Config) from None

    @model_validator(mode="before")
    @classmethod
    def _networks_named(cls, fields: Any) -> Any:
        """Whoever says how wide the encoder or the feature map is, but not which, means the modality's own."""
        plan = fields.get("plan") if isinstance(fields, Mapping) else None
        unnamed = [
            key
            for key in ("network", "features")
            if isinstance(plan, Mapping) and isinstance(plan.get(key), Mapping) and "name" not in plan[key]
        ]
        modality = MODALITIES.get(_modality_in(fields)) if unnamed else None
        if plan is None or modality is None:
            return fields
        usual = {"network": modality.network, "features": modality.feature_map and modality.feature_map.name}
        named = {key: {"name": usual[key], **plan[key]} for key in unnamed if usual[key]}
        return {**fields, "plan": {**plan, **named}}

    @model_validator(mode="after")
    def _modality_settled(self) -> "Config":
        # Before all else, once: what is written of a run says which it was.
        if self.modality == AUTO:
            told = "tables" if self.data.schema_file else modality_of(self.dataset)
            object.__setattr__(self, "modality", told)
        return self

    @model_validator(mode="after")
    def _method_fits(self) -> "Config":
        method = method_named(self.method)
        if not method.pae and (self.plan.tiles or 1) > 1:
            got, fix = f"{self.plan.tiles} with {self.method}", f"use {self.method}-pae"
            raise ConfigError(explain("plan.tiles", got=got, expected="1", fix=fix))
        return self

    @model_validator(mode="after")
    def _operations_known(self) -> "Config":
        known = MODALITIES[self.modality].operations
        unknown = [] if isinstance(self.plan.augment, str) else [o for o in self.plan.augment if o not in known]
        if unknown:
            expected = f"auto, all, none, or some of {', '.join(known) or 'no operations'}"
            got, fix = ", ".join(unknown)[:80], "correct it"
            raise ConfigError(explain("setting plan.augment", got=got, expected=expected, fix=fix))
        return self

    @property
    def reading(self) -> dict[str, Any]:
        """The options of `load_dataset` that are set: the fields of `data`, and the column of sites as no feature."""
        given = self.data.model_dump(exclude_defaults=True)
        if "schema_file" in given:
            given["schema"] = given.pop("schema_file")
        if self.partition.column and self.modality == "tables":
            given["ignore"] = (*self.data.ignore, self.partition.column)
        return given

    @property
    def tiles(self) -> int:
        """The partition-and-expand l that the method and `plan.tiles` give."""
        usual = MODALITIES[self.modality].usual_tiles
        return (self.plan.tiles or usual) if method_named(self.method).pae else 1


def _modality_in(fields: Mapping[str, Any]) -> str:
    """The modality of settings that are not checked yet; empty where they are wrong."""
    named, dataset, data = fields.get("modality", AUTO), fields.get("dataset", "digits"), fields.get("data")
    if named != AUTO:
        return named if isinstance(named, str) else ""
    if isinstance(data, Mapping) and data.get("schema_file"):
        return "tables"
    return modality_of(dataset) if isinstance(dataset, str) else ""


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "ipc": 50,
        "plan": {
            "seeds": 200,
            "batch": 512,
            "min_held": 1,
            "augment": list(MODALITIES["images"].operations),
            "statistics": "mean",
        },
        "local": {"iterations": 1000, "lr": 1.0, "momentum": 0.5, "batch": 256, "reuse": False, "init": "real"},
        "server": {
            "passes": 1,
            "lr": 10.0,
            "schedule": "constant",
            "momentum": 0.5,
            "step": "per-class",
            "reach": UNBOUNDED,
        },
        "evaluate": {"protocol": "paper"},
    },
    "demo": {
        "dataset": "digits",
        "ipc": 1,
        # Public data, shared so that one client holds a single image of a class: it takes part with it.
        "plan": {"seeds": 60, "batch": 128, "min_held": 1},
        "local": {"iterations": 120},
    },
}


def make_config(*layers: Mapping[str, Any]) -> Config:
    """Merge trees, later over earlier, and validate; raises `ConfigError` naming the first bad key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merged(merged, with_new_names(layer))
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise explained(error, Config) from None


def load_config(
    *,
    preset: str = "default",
    file: str | Path | None = None,
    settings: Sequence[str] = (),
    options: Mapping[str, Any] = {},
) -> Config:
    """Preset, then file, then `key=value` settings (values in TOML, or bare text), then options (dotted keys)."""
    if preset not in PRESETS:
        raise ConfigError(explain("preset", got=preset, expected=f"one of {', '.join(PRESETS)}", fix="choose one"))
    given = {key: value for key, value in options.items() if value is not None}
    # What one person says in one place is one layer: under an old and a new name at once it is an error.
    asked = _together(map(setting_tree, settings))
    chosen = _together(_nested(key, value) for key, value in given.items())
    return make_config(PRESETS[preset], _read(Path(file)) if file else {}, asked, chosen)


def config_toml(config: Config) -> bytes:
    """The whole tree as TOML, which `load_config` reads back to an equal `Config`.

    What the modality may have otherwise than by default is left out where it was not set: local method, rate, passes.
    """
    tree = config.model_dump(mode="json", exclude_none=True)
    if "method" not in config.local.model_fields_set:
        del tree["local"]["method"]
    for key in ("lr", "passes"):
        if key not in config.server.model_fields_set:
            del tree["server"][key]
    return tomli_w.dumps(tree).encode()


def setting_tree(text: str) -> dict[str, Any]:
    """The tree of one `key=value`; raises `ConfigError` for what is none."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(explain("--set", got=text, expected="key=value", fix="for example --set server.passes=3"))
    try:
        parsed = _parsed(f"v = {value}")["v"]
    except (ValueError, RecursionError):
        parsed = value.strip()
    return _nested(key.strip(), parsed)


def _read(file: Path) -> dict[str, Any]:
    try:
        return _parsed(read_text(file, _MOST_TOML))
    except (OSError, ValueError, RecursionError) as error:
        got = (isinstance(error, OSError) and error.strerror) or str(error)[:200]
        raise ConfigError(
            explain(
                f"config {file}", got=got, expected="a TOML file in UTF-8", fix="check the path, and save it as UTF-8"
            )
        ) from None


def _parsed(text: str) -> dict[str, Any]:
    """TOML that could also be written again; raises `ValueError` or `RecursionError`."""
    tree = tomllib.loads(text)
    str(tree)  # raises for what is nested too deeply, and for hexadecimal numbers of thousands of digits
    return tree


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _together(trees: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for tree in trees:
        merged = _merged(merged, tree)
    return merged


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, str) and key in ("network", "features"):
            old = {"name": old}
        merged[key] = _merged(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return merged
