"""What a site's key was used for, in a file beside it: the same masks hide one answer, and not two.

It has the digests of plans and of answers, and names of sites, and no secret.
"""

import hashlib
from pathlib import Path

from pydantic import BaseModel, ValidationError

from collabdm.errors import ConfigError, explain
from collabdm.privacy.keys import MOST_KEY, SiteKey, decode_key
from collabdm.privacy.mask_openings import check_left
from collabdm.protocol import Plan, plan_digest
from collabdm.storage.files import write_atomically
from collabdm.storage.reading import MOST_JSON, regular_bytes, strict_json

__all__ = ["check_answer", "key_bytes", "read_key", "record_answer", "record_opening"]


class _Use(BaseModel, frozen=True, extra="forbid"):
    """Under one plan: the SHA-256 of the `answer`, and whose masks were `opened`."""

    answer: str = ""
    opened: tuple[str, ...] = ()


def read_key(path: Path) -> SiteKey:
    """The private half in a file. Raises `ConfigError`."""
    return decode_key(key_bytes(path), name=f"key {path}")


def key_bytes(path: Path) -> bytes:
    """The bytes of a key file, of either half. Raises `ConfigError` where it cannot be read."""
    try:
        return regular_bytes(path, MOST_KEY)
    except OSError as error:
        got, fix = error.strerror or "an error", "check the path; collabdm keys makes a key"
        raise ConfigError(explain(f"key {path}", got=got, expected="a key file", fix=fix)) from None


def check_answer(path: Path, plan: Plan, content: bytes = b"") -> None:
    """Raise `ConfigError` where the key in `path` has answered the plan with another contribution than `content`."""
    known = _uses(path).get(plan_digest(plan), _Use()).answer
    if known and known != hashlib.sha256(content).hexdigest():
        expected = "one answer a plan: two under the same masks show their difference"
        lost = f"if it never left this site, remove {_beside(path)}"
        fix = f"send the file of the first one again (contribute --cache keeps it); {lost}"
        raise ConfigError(explain(f"key {path}", got="a key that has answered this plan", expected=expected, fix=fix))


def record_answer(path: Path, plan: Plan, content: bytes) -> None:
    """Note that the key in `path` has answered the plan with `content`."""
    uses, digest = _uses(path), plan_digest(plan)
    answer = hashlib.sha256(content).hexdigest()
    _write(path, uses | {digest: uses.get(digest, _Use()).model_copy(update={"answer": answer})})


def record_opening(path: Path, plan: Plan, missing: tuple[str, ...]) -> None:
    """Note that the key opens masks of these. Raises `QuorumError` where with those that it opened before under this
    plan they are so many that fewer sites than the threshold are left."""
    uses, digest = _uses(path), plan_digest(plan)
    use = uses.get(digest, _Use())
    opened = tuple(sorted({*use.opened, *missing}))
    check_left(plan, opened)
    _write(path, uses | {digest: use.model_copy(update={"opened": opened})})


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.used")


def _uses(path: Path) -> dict[str, _Use]:
    beside = _beside(path)
    if not beside.exists():
        return {}
    try:
        found = strict_json(regular_bytes(beside, MOST_JSON))
        if not isinstance(found, dict):
            raise ValueError("another kind of JSON")
        return {str(plan): _Use.model_validate(use) for plan, use in found.items()}
    except (ValidationError, ValueError, OSError):
        fix = "restore it; without it nothing says which plans this key has answered"
        raise ConfigError(
            explain(f"{beside}", got="a damaged file", expected="what CollabDM writes there", fix=fix)
        ) from None


def _write(path: Path, uses: dict[str, _Use]) -> None:
    lines = (f'  "{plan}": {use.model_dump_json()}' for plan, use in sorted(uses.items()))
    write_atomically(_beside(path), ("{\n" + ",\n".join(lines) + "\n}\n").encode(), private=True)
