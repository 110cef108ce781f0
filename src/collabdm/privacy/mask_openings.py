"""A site is missing: the others open the masks between themselves and it, and only those.

Every site that contributed sends one tiny file with the secrets that it shares with the missing ones; the server makes
their streams and takes them off.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from collabdm.errors import ConfigError, ContributionError, QuorumError, explain, told
from collabdm.privacy.keys import SiteKey
from collabdm.privacy.masks import SECRET_BYTES, check_key, pair_secret, stream, tag, with_streams
from collabdm.protocol import Contribution, Plan, plan_digest
from collabdm.protocol.mask_spec import MOST_MASKED
from collabdm.protocol.pairs import joined
from collabdm.storage.reading import strict_json

__all__ = [
    "MOST_OPENING",
    "MaskOpening",
    "Unmasked",
    "check_left",
    "decode_opening",
    "encode_opening",
    "open_masks",
    "too_late",
    "without_masks",
]

MOST_OPENING = 4 * 2**20
"""Bytes of the largest opening that is read."""

_Hex = Annotated[str, Field(pattern=f"^[0-9a-f]{{{2 * SECRET_BYTES}}}$")]


@dataclass(frozen=True, kw_only=True)
class MaskOpening:
    """What `client` says of the masks between itself and others: their `secrets`, 32 bytes each, by name."""

    client: str
    secrets: dict[str, bytes] = field(repr=False)


class _Written(BaseModel, frozen=True, extra="forbid"):
    format: Literal["collabdm-opening"] = "collabdm-opening"
    version: Literal[1] = 1
    plan: str
    client: str
    secrets: Annotated[dict[str, _Hex], Field(min_length=1, max_length=MOST_MASKED)]


@dataclass(frozen=True, kw_only=True)
class Unmasked:
    """The `contributions` that count, without the masks that were opened; why others were `refused`, by the first
    client in them; and why `openings` were, by who made them."""

    contributions: list[Contribution]
    refused: dict[str, str]
    openings: dict[str, str]


def open_masks(plan: Plan, key: SiteKey, missing: Iterable[str]) -> MaskOpening:
    """The secrets with which the server can take off the masks between the key's site and the `missing` ones.

    Raises `ConfigError` where the key is not the plan's, or a name is not another client's; `QuorumError` where fewer
    than the plan's threshold would be left.
    """
    check_key(plan, key.client, key)
    if plan.masks is None:  # without a key there was nothing to check
        raise ConfigError(explain("plan", got="no masks", expected="plan.masks", fix="there is nothing to open"))
    names = sorted(set(missing))
    wrong = [name for name in names if name not in plan.clients or name == key.client]
    if wrong or not names:
        got = ", ".join(wrong)[:200] or "none"
        fix = "name the sites that sent nothing (--missing NAME)"
        raise ConfigError(explain("missing sites", got=got, expected="other clients of the plan", fix=fix))
    check_left(plan, names)
    return MaskOpening(client=key.client, secrets={name: pair_secret(plan, key, name) for name in names})


def check_left(plan: Plan, missing: Sequence[str]) -> None:
    """Raise `QuorumError` where without these fewer than the threshold are left: a sum of so few says too much."""
    assert plan.masks is not None
    left = len(plan.clients) - len(missing)
    if left < plan.masks.threshold:
        got = f"{len(missing)} of {len(plan.clients)}, which leaves {left}"
        expected = f"at least {plan.masks.threshold} left (plan.masks.threshold)"
        fix = "open nothing, and ask for a new plan and a new round"
        raise QuorumError(explain("missing sites", got=got, expected=expected, fix=fix))


def encode_opening(opening: MaskOpening, plan: Plan) -> bytes:
    """The file: for the server only, which learns of it what the missing site's own contribution would hide."""
    secrets = {name: secret.hex() for name, secret in opening.secrets.items()}
    made = _Written(plan=plan_digest(plan), client=opening.client, secrets=secrets)
    return json.dumps(made.model_dump(), indent=2, sort_keys=True).encode() + b"\n"


def decode_opening(content: bytes, plan: Plan, *, name: str = "opening") -> MaskOpening:
    """What `encode_opening` wrote, for this very plan. Raises `ContributionError`."""
    fix = "ask the site for it again: collabdm open-masks"

    def error(got: object, expected: str) -> ContributionError:
        return ContributionError(explain(name, got=str(got)[:200], expected=expected, fix=fix))

    if len(content) > MOST_OPENING:
        raise error(f"{len(content):,} bytes", f"at most {MOST_OPENING:,}")
    try:
        fields = strict_json(content)
        if not isinstance(fields, dict) or type(fields.get("version")) is not int:
            raise ValueError("another kind of JSON")
        found = _Written.model_validate(fields)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise error(
            ".".join(map(str, first["loc"]))[:80], f"what open-masks writes there ({told(first)[:80]})"
        ) from None
    except ValueError as wrong:
        raise error(wrong, "what collabdm open-masks writes") from None
    if found.plan != plan_digest(plan):
        raise error(f"an opening for plan {found.plan[:64]}", f"one for plan {plan_digest(plan)}")
    strangers = [one for one in (found.client, *found.secrets) if one not in plan.clients]
    if strangers or found.client in found.secrets:
        raise error(f"client {(strangers or [found.client])[0][:80]}", "a client of the plan, and others")
    return MaskOpening(client=found.client, secrets={one: bytes.fromhex(text) for one, text in found.secrets.items()})


def without_masks(plan: Plan, contributions: Sequence[Contribution], openings: Iterable[MaskOpening]) -> Unmasked:
    """`contributions` without the masks between their sites and those that have none, as far as these were opened.

    Each secret is held against what the contribution itself said of it, so that a wrong or altered one is refused. A
    contribution of a site whose masks others have opened is refused: with its masks gone, the server could read it.
    """
    secrets: dict[tuple[str, str], bytes] = {}
    refused: dict[str, str] = {}
    for opening in openings:
        for name, secret in opening.secrets.items():
            if secrets.setdefault((opening.client, name), secret) != secret:
                refused[opening.client] = _told(opening.client, f"two different secrets with {name}")
    sound: dict[tuple[str, str], dict[str, bytes]] = {}
    for one in contributions:
        for name in sorted({name for _, name in secrets} - set(one.stands_for)):
            found = {site: secrets[site, name] for site in one.stands_for if (site, name) in secrets}
            if len(found) < len(one.stands_for):
                continue
            if _joined_tags(found.values()) == joined(_pairs(one), [plan.clients.index(name)]).tobytes():
                sound[one.client, name] = found
            else:
                site = ", ".join(found)
                refused[site] = _told(site, f"a secret with {name} that is not the one it masked with")
    opened = {name: client for client, name in sound}
    kept, late = [], {}
    for one in contributions:
        open_ones = [name for name in one.stands_for if name in opened]
        if open_ones:
            late[one.client] = too_late(open_ones[0], opened[open_ones[0]])
        else:
            kept.append(one)
    missing = set(plan.clients) - {name for one in kept for name in one.stands_for}
    return Unmasked(
        contributions=[_taken_off(plan, one, sound, missing) for one in kept], refused=late, openings=refused
    )


def too_late(name: str, opener: str) -> str:
    """Why a contribution of `name` is refused, whose masks `opener` has opened."""
    got, fix = (
        f"one, though {opener} opened the masks of {name}",
        "go on without it; it can take part in the next round",
    )
    expected = "none: its masks are no longer secret, so its sums could be read"
    return explain(f"contribution of {name}", got=got, expected=expected, fix=fix)


def _taken_off(
    plan: Plan, one: Contribution, sound: dict[tuple[str, str], dict[str, bytes]], missing: set[str]
) -> Contribution:
    names = sorted(name for client, name in sound if client == one.client and name in missing - {*one.unmasked})
    assert one.sums is not None
    total = one.sums
    for name in names:
        for site, secret in sound[one.client, name].items():
            # What the site did, undone: as if the other one, whose stream has the other sign, had answered zero.
            total = with_streams(name, total, {site: stream(secret, len(total))})
    return replace(one, sums=total, unmasked=tuple(sorted({*one.unmasked, *names})))


def _pairs(one: Contribution) -> np.ndarray:
    assert one.pairs is not None
    return one.pairs


def _joined_tags(secrets: Iterable[bytes]) -> bytes:
    tags = np.stack([np.frombuffer(tag(secret), np.uint8) for secret in secrets])
    return np.bitwise_xor.reduce(tags, axis=0).tobytes()


def _told(site: str, got: str) -> str:
    fix = "ask for it again, with the key that it contributed with: collabdm open-masks"
    return explain(f"opening by {site}", got=got, expected="the secret that both sites share", fix=fix)
