"""The settings of a run: one frozen tree. Unknown keys are errors."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from collabdm.config.explaining import explained
from collabdm.config.renamed import with_new_names
from collabdm.config.rivals import RivalsSpec
from collabdm.config.server import ServerSpec
from collabdm.data import modality_of
from collabdm.data.partition import PartitionKind
from collabdm.engine import Engine, EngineName
from collabdm.errors import ConfigError, did_you_mean, explain
from collabdm.images.pixels import Normalisation
from collabdm.judges.table import AnyJudge
from collabdm.methods import method_named
from collabdm.modalities import AUTO, MODALITIES, ModalityName
from collabdm.networks import NetworkSpec
from collabdm.protocol import EncodingName, GramBits, LocalSpec, MaskSettings, PrivacySpec, StatisticNames
from collabdm.registry import named_in
from collabdm.training.recipes import RECIPES

__all__ = ["Config", "DataSpec", "EvaluateSpec", "PartitionSpec", "PlanSpec"]

# The network of `plan.features` where settings say how it is, but not which.
_FEATURE_MAP = "mirrored-patches"


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
            got, fix = ", ".join(unknown)[:80], did_you_mean(unknown[0], (*known, "auto", "all", "none"), "correct it")
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
