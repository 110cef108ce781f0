"""What travels: the plan in a query, and back the encoded contribution, or of which class the error is instead."""

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from collabdm.errors import ContributionError, explain, printable

__all__ = ["ACTION", "MESSAGE_TYPE", "asked_plan", "contribution_reply", "query", "read_reply", "refusal_reply"]

ACTION = "contribute"
MESSAGE_TYPE = f"query.{ACTION}"

_RECORD = "collabdm"
_ARRAY = "contribution"
# The words are fixed: whatever an error says is made of the site's paths, names and values.
_REFUSALS = {
    "ConfigError": "the site's settings do not fit the plan or its machine",
    "DataError": "the site's data do not fit the plan",
    "PlanError": "the site cannot answer this plan",
    "ContributionError": "the site's contribution would be refused",
    "CollabDMError": "the site cannot contribute",
    "OSError": "the site's machine refuses to read or write a file",
    "MemoryError": "the site's machine has too little memory",
}


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


def refusal_reply(error: Exception) -> RecordDict:
    """Of which class the error is for which a site cannot contribute: nothing that the error itself says."""
    kinds = (name for kind in type(error).__mro__ if (name := kind.__name__) in _REFUSALS)
    kind = next(kinds, None)
    reason = f"{kind}: {_REFUSALS[kind]}" if kind else "unforeseen: the site's app failed"
    return RecordDict({_RECORD: ConfigRecord({"refusal": f"{reason} (the site's own log says more)"})})


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
