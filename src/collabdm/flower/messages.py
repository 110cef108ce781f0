"""What travels: the plan's bytes in a query, the encoded contribution, or a line that says why there is none."""

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from collabdm.errors import ContributionError, explain, printable

__all__ = ["ACTION", "MESSAGE_TYPE", "asked_plan", "contribution_reply", "query", "read_reply", "refusal_reply"]

ACTION = "contribute"
MESSAGE_TYPE = f"query.{ACTION}"

_RECORD = "collabdm"
_ARRAY = "contribution"


def query(plan: bytes) -> RecordDict:
    """The question to a node: the encoded plan, and nothing else."""
    return RecordDict({_RECORD: ConfigRecord({"plan": plan})})


def asked_plan(content: RecordDict) -> bytes:
    """The plan of a query; empty where there is none, which no decoder takes."""
    value = content.config_records.get(_RECORD, ConfigRecord()).get("plan", b"")
    return value if isinstance(value, bytes) else b""


def contribution_reply(content: bytes) -> RecordDict:
    """An encoded contribution as one array of bytes, which Flower sends in chunks and never unpickles."""
    array = Array(dtype="uint8", shape=(len(content),), stype="collabdm.contribution", data=content)
    return RecordDict({_RECORD: ArrayRecord({_ARRAY: array})})


def refusal_reply(reason: str) -> RecordDict:
    """Why a site cannot contribute, in one line."""
    return RecordDict({_RECORD: ConfigRecord({"refusal": reason})})


def read_reply(content: RecordDict, *, name: str) -> bytes:
    """The encoded contribution of a reply, unchecked.

    Raises `ContributionError` with the site's own line where it refused, or where this is no answer to a query.
    """
    array = content.array_records.get(_RECORD, ArrayRecord()).get(_ARRAY)
    if array is not None:
        return bytes(array.data)
    reason = content.config_records.get(_RECORD, ConfigRecord()).get("refusal")
    if isinstance(reason, str):
        raise ContributionError(f"{name}: {_line(reason)}")
    raise ContributionError(
        explain(name, got="a reply of another kind", expected="a contribution", fix="update CollabDM there or here")
    )


def _line(text: str) -> str:
    """A stranger's text as one printable line."""
    return printable(" ".join(text.split()))[:500]
