"""Key files that a command is given: whose they are, and all public ones together."""

from collections.abc import Sequence
from pathlib import Path

from collabdm.errors import ConfigError, explain

__all__ = ["check_whose", "read_public"]


def read_public(places: Sequence[Path]) -> dict[str, str]:
    """The clients with their public keys, in these files and in the `.pub` files of these folders. Raises
    `ConfigError`."""
    from collabdm.privacy.keys import decode_public, public_keys
    from collabdm.rounds.key_use import key_bytes

    files: list[Path] = []
    for place in places:
        found = sorted(place.glob("*.pub")) if place.is_dir() else [place]
        if not found:
            fix = "collect what collabdm keys wrote there (FILE.pub)"
            raise ConfigError(explain(f"--keys {place}", got="no .pub file", expected="public keys", fix=fix))
        files += found
    return public_keys(decode_public(key_bytes(path), name=f"public key {path}") for path in files)


def check_whose(owner: str, client: str, path: Path) -> None:
    """Raise `ConfigError` where the key is another client's."""
    if owner != client:
        fix = f"pass the key of {client}, or --client {owner}"
        raise ConfigError(explain(f"key {path}", got=f"that of {owner}", expected=f"that of {client}", fix=fix))
