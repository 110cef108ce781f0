"""A change of a round that is under way: all that carrying it out needs to know, in `change.json`."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from collabdm.report.reading import checked
from collabdm.storage.files import read_json, write_json

__all__ = ["PENDING", "Change", "under_way", "write_change"]

PENDING = "change.json"

Kind = Literal["add", "remove", "forget"]


class Change(BaseModel, frozen=True, extra="forbid"):
    """One change, with all that carrying it out needs to know.

    `digest`: SHA-256 of the contribution added or left out; `passes` over the T seeds; `when`: begun, in UTC; `facts`
    of the round and `history` (earlier entries); `purged`: forgetting has removed what was derived.
    """

    kind: Kind
    client: str
    digest: str = ""
    passes: Annotated[int, Field(ge=0)] = 1
    when: str = ""
    min_clients: int | None = None
    allow_missing: bool = False
    facts: dict[str, Any] = {}
    history: tuple[dict[str, Any], ...] = ()
    """Entries of `round.json`."""
    purged: bool = False

    @field_validator("history")
    @classmethod
    def _are_entries(cls, history: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        if not all(isinstance(one.get("kind"), str) and isinstance(one.get("client"), str) for one in history):
            raise ValueError("every entry has a kind and a client")
        return history

    @property
    def asked(self) -> tuple[str, str, str, int]:
        """What makes two requests the same."""
        return self.kind, self.client, self.digest if self.kind == "add" else "", self.passes

    @property
    def entry(self) -> dict[str, Any]:
        """Its line in the history; forgetting keeps no digest."""
        known = {"kind": self.kind, "client": self.client, "when": self.when}
        return known if self.kind == "forget" else known | {"digest": self.digest, "passes": self.passes}


def under_way(folder: Path) -> Change | None:
    """The change that was begun in `folder` and not finished. Raises `RunFolderError` where its file is damaged."""
    path = folder / PENDING
    return checked(Change, read_json(path, dict), str(path)) if path.exists() else None


def write_change(folder: Path, change: Change) -> None:
    """From now on it is under way."""
    write_json(folder / PENDING, change.model_dump(mode="json"))
