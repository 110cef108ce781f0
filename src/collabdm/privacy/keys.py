"""A site's key: the private half stays at the site, the public half travels with its registration into the plan."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from collabdm.errors import ConfigError, explain, got_in, told
from collabdm.protocol.mask_spec import MOST_MASKED, PublicKey
from collabdm.protocol.plan import Name
from collabdm.storage.reading import strict_json

__all__ = [
    "MOST_KEY",
    "SiteKey",
    "decode_key",
    "decode_public",
    "encode_key",
    "encode_public",
    "make_keys",
    "public_keys",
    "x25519",
]

MOST_KEY = 2**14
"""Bytes of the largest key file that is read."""

_FIX = "check the path; the two halves are what collabdm keys wrote"
_PRIVATE, _PUBLIC = "the private half of a key", "the public half of a key (.pub)"
# What is easily taken for a half of a key, by the format that it states, with what to do then.
_OTHERS = {
    "collabdm-key": (_PRIVATE, "pass the file beside it that ends in .pub; the private half never leaves its site"),
    "collabdm-public-key": (_PUBLIC, "pass the file that it was made with, which has the same name without .pub"),
    "collabdm-opening": ("an opening of masks", "pass the key; openings go into the folder of the contributions"),
}


@dataclass(frozen=True, kw_only=True)
class SiteKey:
    """`client`'s X25519 key; `private`: 32 bytes, which nobody else may see."""

    client: str
    private: bytes = field(repr=False)

    @property
    def public(self) -> str:
        """What others may see, and the plan names: 64 hexadecimal digits."""
        return x25519().X25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw().hex()


class _Private(BaseModel, frozen=True, extra="forbid"):
    format: Literal["collabdm-key"] = "collabdm-key"
    version: Literal[1] = 1
    client: Name
    private: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Public(BaseModel, frozen=True, extra="forbid"):
    format: Literal["collabdm-public-key"] = "collabdm-public-key"
    version: Literal[1] = 1
    client: Name
    key: PublicKey


_Half = TypeVar("_Half", _Private, _Public)


def make_keys(client: str) -> SiteKey:
    """A fresh key, from the operating system's randomness.

    Raises:
        ConfigError: no plan can name such a client, or `cryptography` is missing.
    """
    try:
        TypeAdapter(Name).validate_python(client)
    except ValidationError as error:
        first, fix = error.errors()[0], "give the name that this site will have in the plan"
        raise ConfigError(explain("name of the client", got=got_in(first), expected=told(first), fix=fix)) from None
    return SiteKey(client=client, private=x25519().X25519PrivateKey.generate().private_bytes_raw())


def encode_key(key: SiteKey) -> bytes:
    """The file of the private half: keep it at the site, readable for its owner only."""
    return _written(_Private(client=key.client, private=key.private.hex()))


def encode_public(key: SiteKey) -> bytes:
    """The file of the public half, for whoever makes the plan."""
    return _written(_Public(client=key.client, key=key.public))


def decode_key(content: bytes, *, name: str = "key") -> SiteKey:
    """What `encode_key` wrote. Raises `ConfigError`, which tells nothing of what is in the file."""
    found = _read(_Private, content, name, _PRIVATE)
    return SiteKey(client=found.client, private=bytes.fromhex(found.private))


def decode_public(content: bytes, *, name: str = "public key") -> tuple[str, str]:
    """The client and its public key. Raises `ConfigError`."""
    found = _read(_Public, content, name, _PUBLIC)
    return found.client, found.key


def public_keys(halves: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Clients with their public keys, as `make_plan` takes them. Raises `ConfigError` for one with two keys, and for
    two with one."""
    found: dict[str, str] = {}
    for client, key in halves:
        if found.get(client, key) != key:
            fix = "ask that site which one it keeps, and leave the other out"
            raise ConfigError(explain(f"keys of client {client}", got="two", expected="one", fix=fix))
        other = next((name for name, known in found.items() if known == key and name != client), None)
        if other is not None:
            got, fix = f"the same of {other} and {client}", "ask each to make its own: collabdm keys"
            raise ConfigError(explain("public keys", got=got, expected="one of every site", fix=fix))
        found[client] = key
    if not 2 <= len(found) <= MOST_MASKED:
        fix = "give the public key of every site"
        raise ConfigError(explain("public keys", got=len(found), expected=f"2 to {MOST_MASKED:,}", fix=fix))
    return found


def x25519() -> ModuleType:
    """The module of `cryptography`. Raises `ConfigError` where it is not installed."""
    try:
        from cryptography.hazmat.primitives.asymmetric import x25519  # here, since only plans with masks need it
    except ImportError:
        got, fix = "cryptography is not installed", 'pip install "collabdm[privacy]"'
        raise ConfigError(explain("plan.masks", got=got, expected="the extra privacy", fix=fix)) from None
    return x25519


def _written(half: BaseModel) -> bytes:
    return json.dumps(half.model_dump(), indent=2).encode() + b"\n"


def _read(kind: type[_Half], content: bytes, name: str, what: str) -> _Half:
    """Without a word of the content: the halves may have been mixed up."""
    try:
        fields = strict_json(content)
        if isinstance(fields, dict) and (other := _OTHERS.get(str(fields.get("format")))) and other[0] != what:
            raise ConfigError(explain(name, got=other[0], expected=what, fix=other[1]))
        if isinstance(fields, dict) and type(fields.get("version")) is not int:
            raise ValueError("no version")
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:80] or "the whole"
        got = f"something else in {where} ({told(first)[:120]})"
        raise ConfigError(explain(name, got=got, expected=what, fix=_FIX)) from None
    except ValueError:
        raise ConfigError(explain(name, got="another kind of file", expected=what, fix=_FIX)) from None
