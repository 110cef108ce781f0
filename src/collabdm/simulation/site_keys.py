"""Keys of simulated sites, where the settings ask for masks: fresh ones, kept while the run is under way."""

import shutil
from collections.abc import Collection
from pathlib import Path

from collabdm.config import Config
from collabdm.privacy.keys import MOST_KEY, SiteKey, decode_key, encode_key, make_keys
from collabdm.storage.files import private_folder, write_atomically
from collabdm.storage.reading import regular_bytes

__all__ = ["drop_keys", "public_halves", "site_keys"]

_FOLDER = "keys"


def site_keys(config: Config, clients: Collection[str], folder: Path | None = None) -> dict[str, SiteKey]:
    """A key of each client by name; none where `config` asks for no masks. With `folder`, a run that was interrupted
    there gets its own again, which its contributions were made with."""
    if config.plan.masks is None:
        return {}
    if folder is None:
        return {client: make_keys(client) for client in clients}
    found = {}
    for number, client in enumerate(sorted(clients)):
        path = private_folder(folder / _FOLDER) / f"{number}.key"
        if not path.exists():
            write_atomically(path, encode_key(make_keys(client)), private=True)
        found[client] = decode_key(regular_bytes(path, MOST_KEY), name=str(path))
    return found


def drop_keys(folder: Path) -> None:
    """Remove what `site_keys` keeps: the run has ended."""
    shutil.rmtree(folder / _FOLDER, ignore_errors=True)


def public_halves(keys: dict[str, SiteKey]) -> dict[str, str] | None:
    """As `make_plan` takes them."""
    return {client: key.public for client, key in keys.items()} or None
