"""The plan: all that a client must know, a few KB of JSON, public."""

import hashlib
import json
import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from collabdm.errors import ConfigError, PlanError, explain
from collabdm.images.augment import OPERATIONS, Augmentation, draw_augmentation
from collabdm.images.partition_expand import check_factor
from collabdm.images.pixels import Normalisation
from collabdm.matching.statistic import STATISTICS
from collabdm.networks import NetworkSpec
from collabdm.protocol.encoding import EncodingName
from collabdm.protocol.local_spec import LocalSpec
from collabdm.randomness import Stream

__all__ = ["Plan", "SampleSpec", "StatisticName", "decode_plan", "encode_plan", "plan_digest"]

VERSION = 1
StatisticName = Literal["mean", "moments", "none"]


def _printable(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("a name must be printable and not blank")
    return text


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


class SampleSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Channels, height and width of every image."""

    channels: Literal[1, 3]
    height: Annotated[int, Field(ge=4, le=1024)]
    width: Annotated[int, Field(ge=4, le=1024)]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width


class Plan(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What the server asks of every client, Algorithm 1's A_k and all it takes to compute L_k and S_k.

    Seeds and participants follow from `seed`, so a plan stays small however many there are. `most_held`: the server
    counts at most that many samples of a class for any one client as its weight, whatever it says to hold.
    """

    format: Literal["collabdm-plan"] = "collabdm-plan"
    version: Literal[1] = VERSION
    seed: Annotated[int, Field(ge=0, lt=2**53)]
    clients: Annotated[tuple[Name, ...], Field(min_length=1, max_length=100_000)]
    classes: Annotated[tuple[Name, ...], Field(min_length=1, max_length=10_000)]
    sample: SampleSpec
    normalisation: Normalisation
    network: NetworkSpec = NetworkSpec()
    ipc: Annotated[int, Field(ge=1, le=100_000)]
    seeds: Annotated[int, Field(ge=0, le=1_000_000)]
    participation: Annotated[float, Field(gt=0, le=1)] = 1.0
    batch: Annotated[int, Field(ge=1)]
    most_held: Annotated[int, Field(ge=1)] | None = None
    pae: Annotated[int, Field(ge=1)] = 1
    augment: tuple[str, ...] = ()
    statistics: StatisticName = "mean"
    encoding: EncodingName = "fp16"
    local: LocalSpec = LocalSpec()

    @model_validator(mode="after")
    def _consistent(self) -> "Plan":
        if len(self.normalisation.mean) != self.sample.channels:
            raise ValueError("normalisation has another number of channels than the samples")
        if list(self.clients) != sorted(set(self.clients)):
            raise ValueError("clients must be distinct and sorted")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("class names must be distinct")
        unknown = set(self.augment) - set(OPERATIONS)
        if unknown:
            raise ValueError(f"augmentation {sorted(unknown)} unknown; known: {list(OPERATIONS)}")
        check_factor(self.pae, self.sample.height, self.sample.width)
        return self

    @property
    def participants_per_seed(self) -> int:
        """|Z_t| = max(floor(epsilon K), 1); the small term keeps 0.29 * 100 at 29."""
        return max(math.floor(self.participation * len(self.clients) + 1e-9), 1)

    @property
    def local_per_class(self) -> int:
        """The most images that S_k may hold of one class: floor(ipc / K) + 1."""
        return self.ipc // len(self.clients) + 1

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the statistic's parts that are sent."""
        return STATISTICS[self.statistics].parts

    def encoder_seed(self, t: int) -> int:
        """alpha_t (Algorithm 1, line 3): 53 bits."""
        return int(Stream(self.seed, "alpha", t).raw(1)[0] >> 11)

    def participants(self, t: int) -> tuple[str, ...]:
        """Z_t (Algorithm 1, line 4), in sorted order."""
        drawn = Stream(self.seed, "participants", t).choose(len(self.clients), self.participants_per_seed)
        return tuple(self.clients[k] for k in sorted(drawn))

    def assigned(self, client: str) -> tuple[int, ...]:
        """The t of A_k (Algorithm 1, line 6): the seeds at which `client` participates, ascending."""
        if self.participants_per_seed == len(self.clients):
            return tuple(range(self.seeds))
        return tuple(t for t in range(self.seeds) if client in self.participants(t))

    def augmentation(self, t: int, y: int) -> Augmentation | None:
        """A_(t, y): the one operation for all samples of class y at seed t, on both sides."""
        return draw_augmentation(Stream(self.encoder_seed(t), "augment", y), self.augment)


def encode_plan(plan: Plan) -> bytes:
    """Canonical JSON (sorted keys, no spaces, a final newline): what travels down, and what the digest covers."""
    text = json.dumps(plan.model_dump(mode="json", exclude_none=True), sort_keys=True, separators=(",", ":"))
    return text.encode() + b"\n"


def plan_digest(plan: Plan) -> str:
    """SHA-256 of `encode_plan`, in hex."""
    return hashlib.sha256(encode_plan(plan)).hexdigest()


def decode_plan(content: bytes, *, name: str = "plan") -> Plan:
    """Parse and validate; raises `PlanError` where it is malformed or of another version."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise PlanError(
            explain(name, got=f"no JSON ({error})", expected="a plan file", fix="ask for it again")
        ) from None
    if not isinstance(fields, dict) or fields.get("format") != "collabdm-plan":
        raise PlanError(explain(name, got="another kind of file", expected="a CollabDM plan", fix="pass the plan file"))
    if fields.get("version") != VERSION:
        version = str(fields.get("version"))[:40]
        fix = "use the CollabDM release that wrote it, or make the plan anew"
        raise PlanError(explain(name, got=f"version {version}", expected=f"version {VERSION}", fix=fix))
    try:
        return Plan.model_validate(fields)
    except ConfigError as error:  # a partition-and-expand factor that does not fit the images
        raise PlanError(f"{name}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "plan"
        raise PlanError(
            explain(
                f"{name}: {where}"[:200],
                got=str(first.get("input"))[:80],
                expected=first["msg"][:200],
                fix="make the plan anew with collabdm plan",
            )
        ) from None
