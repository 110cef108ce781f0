"""The plan: all that a client must know, a few KB of JSON, public.

Version 2 is written. Version 1, whose samples could only be images, is read, and written again to the same bytes: so
the contributions that answered such a plan can still be used.
"""

import hashlib
import json
import math
import warnings
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from collabdm.data.class_names import same_look, unreadable
from collabdm.engine.plain import plain_torch
from collabdm.errors import ConfigError, PlanError, RenamedWarning, as_json, explain, got_in, printable, told
from collabdm.matching.statistic import STATISTICS, Statistic
from collabdm.modalities import AnyModality
from collabdm.modality import Augmentation, draw_augmentation
from collabdm.networks import NetworkSpec, build_network
from collabdm.protocol.encoding import EncodingName
from collabdm.protocol.gram import MOST_FEATURES, GramBits
from collabdm.protocol.local_spec import LocalSpec
from collabdm.protocol.mask_spec import MaskSpec
from collabdm.protocol.participating import seeds_of, taking_part
from collabdm.protocol.plan_versions import first_location, first_version, second_version
from collabdm.protocol.privacy_spec import PrivacySpec
from collabdm.protocol.statistic_names import GRAM, StatisticNames, asks_gram, per_seed
from collabdm.randomness import Stream
from collabdm.storage.reading import no_number, strict_json

__all__ = ["BOUNDED", "Plan", "decode_plan", "encode_plan", "plan_digest"]

VERSION = 2


def _readable(text: str) -> str:
    wanted = unreadable(text)
    if wanted:
        raise ValueError(wanted)
    return text


# Of one sample: far above any that is worth distilling, far below what a site could not hold.
_MOST_SIDE, _MOST_VALUES = 2**20, 2**26

BOUNDED = "direction"
"""The statistic of the seeds in which no sample says more than another: what a promise of privacy goes with."""

Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_readable)]


class Plan(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What the server asks of every client, Algorithm 1's A_k and all it takes to compute L_k and S_k.

    Seeds and participants follow from `seed`, so a plan stays small however many there are. `sample` describes the
    samples, and by its kind what they are. `most_held`: the server counts at most that many samples of a class for any
    one client as its weight, whatever it says to hold. `min_held`: a client leaves out a class of which it holds fewer
    (1: none), and says that it holds none. `tiles`: the l of partition and expand. `features` and `gram_bits` go with
    the statistic `gram`: the network that is its fixed feature map, and the bits of a number of it on the wire.
    `privacy`: the promise of differential privacy under which all sums leave a site, over all its samples (`batch` is
    for plans without); it goes with sums that are bounded for every sample, and with nothing else. `masks`: the
    clients' public keys, with which each masks its sums, so that only the sum of all can be read; they go with
    `privacy` only.
    """

    format: Literal["collabdm-plan"] = "collabdm-plan"
    version: Literal[1, 2] = VERSION
    seed: Annotated[int, Field(ge=0, lt=2**53)]
    clients: Annotated[tuple[Name, ...], Field(min_length=1, max_length=100_000)]
    classes: Annotated[tuple[Name, ...], Field(min_length=1, max_length=10_000)]
    sample: AnyModality
    network: NetworkSpec = NetworkSpec()
    ipc: Annotated[int, Field(ge=1, le=100_000)]
    seeds: Annotated[int, Field(ge=0, le=1_000_000)]
    participation: Annotated[float, Field(gt=0, le=1)] = 1.0
    batch: Annotated[int, Field(ge=1)]
    most_held: Annotated[int, Field(ge=1)] | None = None
    min_held: Annotated[int, Field(ge=1)] = 1
    tiles: Annotated[int, Field(ge=1)] = 1
    augment: tuple[str, ...] = ()
    statistics: StatisticNames = "mean"
    features: NetworkSpec | None = None
    gram_bits: GramBits | None = None
    encoding: EncodingName = "fp16"
    local: LocalSpec = LocalSpec()
    privacy: PrivacySpec | None = None
    masks: MaskSpec | None = None

    def __repr__(self) -> str:
        sites = f"{len(self.clients)} clients, {self.seeds} seeds, {self.ipc} a class"
        kind = f"{self.sample.plural} ({self.sample.described})"
        return printable(f"Plan({kind}, {len(self.classes)} classes, {sites}, statistics {self.statistics})")

    __str__ = __repr__

    @model_validator(mode="after")
    def _consistent(self) -> "Plan":
        _check_size(self.sample.shape)
        self.sample.check_plan()
        if self.version == 1 and self.sample.kind != "images":
            raise ValueError("a plan of version 1 is for images")
        if self.version == 1 and self.min_held != 1:
            raise ValueError("a plan of version 1 has no min_held")
        self._check_gram()
        self._check_privacy()
        self._check_masks()
        if list(self.clients) != sorted(set(self.clients)):
            raise ValueError("clients must be distinct and sorted")
        if len(set(self.classes)) != len(self.classes):
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise ValueError(f"class names must be distinct, and {twice[:80]} is named twice")
        if same_look(self.classes):
            raise ValueError("class names must be distinct to the eye, whatever accents and spaces are made of")
        unknown = set(self.augment) - set(self.sample.operations)
        if unknown:
            raise ValueError(f"augmentation {sorted(unknown)} unknown; known: {list(self.sample.operations)}")
        self.sample.check_tiles(self.tiles)
        return self

    def _check_gram(self) -> None:
        asked = asks_gram(self.statistics)
        if {self.features is not None, self.gram_bits is not None} != {asked}:
            raise ValueError(f"features and gram_bits go with the statistic {GRAM}")
        if asked and self.version == 1:
            raise ValueError(f"a plan of version 1 has no {GRAM}")
        if self.features is not None:
            found = build_network(self.features, self.sample.shape, classes=1).features
            if found > MOST_FEATURES:
                raise ValueError(f"features gives at most {MOST_FEATURES} numbers for a sample, got {found}")

    def _check_privacy(self) -> None:
        if self.privacy is None:
            return
        needed = {
            "local.method = none": self.local.method == "none",
            f"statistics of {BOUNDED}, gram or both": per_seed(self.statistics) in (BOUNDED, "none"),
            "features with norm = layer": self.features is None or self.features.norm == "layer",
            "participation = 1": self.participation == 1,
            "min_held = 1": self.min_held == 1,
            "no most_held": self.most_held is None,
            "version 2": self.version != 1,
        }
        missing = [name for name, there in needed.items() if not there]
        if missing:
            raise ValueError(f"privacy goes with {', '.join(missing)}")

    def _check_masks(self) -> None:
        if self.privacy is not None and self.privacy.noise == "sum" and self.masks is None:
            raise ValueError("privacy.noise = sum goes with masks: without them the server reads what each site sends")
        if self.masks is None:
            return
        if self.privacy is None:
            raise ValueError("masks go with privacy: only sums can be masked")
        if set(self.masks.keys) != set(self.clients):
            other = sorted(set(self.masks.keys) ^ set(self.clients))
            raise ValueError(
                f"masks.keys must have one key of each client and no other, not so: {', '.join(other)[:80]}"
            )

    @property
    def noise_shares(self) -> int:
        """How many sites' noise makes the whole: one's, or that of `masks.threshold`."""
        whole_in_sum = self.privacy is not None and self.privacy.noise == "sum"
        return self.masks.threshold if whole_in_sum and self.masks is not None else 1

    @property
    def participants_per_seed(self) -> int:
        """|Z_t| = max(floor(epsilon K), 1); the small term keeps 0.29 * 100 at 29."""
        return max(math.floor(self.participation * len(self.clients) + 1e-9), 1)

    @property
    def clustered(self) -> bool:
        """Whether the set starts from centres of all local sets together, not from some samples of each of them."""
        return self.sample.small and self.statistics != "none"

    @property
    def local_per_class(self) -> int:
        """The most samples that S_k may hold of one class: floor(ipc / K) + 1, or ipc where the union is clustered."""
        return self.ipc if self.clustered else self.ipc // len(self.clients) + 1

    @property
    def statistic(self) -> Statistic:
        """What clients send of every seed."""
        return STATISTICS[per_seed(self.statistics)]

    @property
    def feature_stream(self) -> Stream:
        """What the feature map of the Gram matrix is made of, on both sides."""
        return Stream(self.seed, "features")

    def encoder_seed(self, t: int) -> int:
        """alpha_t (Algorithm 1, line 3): 53 bits."""
        return int(Stream(self.seed, "alpha", t).raw(1)[0] >> 11)

    def participants(self, t: int) -> tuple[str, ...]:
        """Z_t (Algorithm 1, line 4), in sorted order."""
        drawn = taking_part(self.seed, t, len(self.clients), self.participants_per_seed)
        return tuple(self.clients[k] for k in drawn)

    def assigned(self, client: str) -> tuple[int, ...]:
        """The t of A_k (Algorithm 1, line 6): the seeds at which `client` participates, ascending."""
        if self.participants_per_seed == len(self.clients):
            return tuple(range(self.seeds))
        if client not in self.clients:
            return ()
        number, asked = self.clients.index(client), (self.seed, self.seeds, len(self.clients))
        return seeds_of(*asked, self.participants_per_seed, number)

    def augmentation(self, t: int, y: int) -> Augmentation | None:
        """A_(t, y): the one operation for all samples of class y at seed t, on both sides."""
        return draw_augmentation(Stream(self.encoder_seed(t), "augment", y), self.augment)


def _check_size(shape: tuple[int, ...]) -> None:
    """Whatever modality it is: samples of a hostile size must not bring a site down."""
    sides = all(type(side) is int and 1 <= side <= _MOST_SIDE for side in shape)
    if not sides or math.prod(shape) > _MOST_VALUES:
        most = f"{_MOST_VALUES} values, and from 1 to {_MOST_SIDE} along each dimension"
        raise ValueError(f"a sample has at most {most}, got {str(shape)[:80]}")


@plain_torch()
def encode_plan(plan: Plan) -> bytes:
    """Canonical JSON (sorted keys, no spaces, a final newline): what travels down, and what the digest covers."""
    fields = plan.model_dump(mode="json", exclude_none=True)
    if plan.min_held == 1:
        # As plans were written before there was this field, so that their digests stay.
        del fields["min_held"]
    if plan.privacy is not None and plan.privacy.noise == "site":
        # Likewise.
        del fields["privacy"]["noise"]
    text = json.dumps(first_version(fields) if plan.version == 1 else fields, sort_keys=True, separators=(",", ":"))
    return text.encode() + b"\n"


def plan_digest(plan: Plan) -> str:
    """SHA-256 of `encode_plan`, in hex."""
    return hashlib.sha256(encode_plan(plan)).hexdigest()


@plain_torch()
def decode_plan(content: bytes, *, name: str = "plan") -> Plan:
    """Parse and validate; raises `PlanError` where it is malformed or of another version.

    A plan with keys that were renamed since is read, with a `RenamedWarning`.
    """
    try:
        fields = strict_json(content)
    except ValueError as error:
        raise PlanError(explain(name, got=error, expected="a plan file", fix="ask for it again")) from None
    if not isinstance(fields, dict) or fields.get("format") != "collabdm-plan":
        raise PlanError(explain(name, got="another kind of file", expected="a CollabDM plan", fix="pass the plan file"))
    version = fields.get("version")
    if type(version) is not int or version not in (1, VERSION):
        fix = "use the CollabDM release that wrote it, or make the plan anew"
        raise PlanError(explain(name, got=f"version {as_json(version)}", expected=f"version 1 or {VERSION}", fix=fix))
    try:
        current = fields if version != 1 else second_version(fields)
        plan = Plan.model_validate(current)
        wrong = no_number(current, plan.model_dump())
    except ConfigError as error:  # tiles that do not fit the samples, or names of another version
        raise PlanError(f"{name}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = first_location(first["loc"]) if version == 1 else first["loc"]
        where = ".".join(str(part) for part in place) or "plan"
        raise PlanError(
            explain(
                f"{name}: {where}"[:200],
                got=got_in(first, str),
                expected=told(first)[:200],
                fix="make the plan anew with collabdm plan",
            )
        ) from None
    if wrong is not None:
        got, fix = as_json(wrong[1]), "make the plan anew with collabdm plan"
        raise PlanError(explain(f"{name}: {wrong[0]}"[:200], got=got, expected="a number", fix=fix))
    if version != 1:
        return plan
    read = f"{name}: pae is called tiles now, and normalisation is part of sample; the plan is read as it was meant"
    warnings.warn(RenamedWarning(read), stacklevel=2)
    return plan
