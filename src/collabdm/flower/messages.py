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
    return RecordDict({_RECORD: ArrayRecord({_ARRAY: _as_array(content)})})


def refusal_reply(error: Exception) -> RecordDict:
    """Of which class the error is for which a site cannot contribute: nothing that the error itself says."""
    kinds = (name for kind in type(error).__mro__ if (name := kind.__name__) in _REFUSALS)
    kind = next(kinds, None)
    reason = f"{kind}: {_REFUSALS[kind]}" if kind else "unforeseen: the site's app failed"
    return RecordDict({_RECORD: ConfigRecord({"refusal": f"{reason} (the site's own log says more)"})})


def read_reply(content: object, *, name: str) -> bytes:
    """The encoded contribution of a reply, unchecked.

    `content` is a stranger's: Flower gives out whatever object a reply has. Raises `ContributionError` with the site's
    own line where it refused, or where this is not exactly what `contribution_reply` makes.
    """
    record = content.get(_RECORD) if isinstance(content, RecordDict) and len(content) == 1 else None
    if isinstance(record, ConfigRecord) and isinstance(reason := record.get("refusal"), str):
        raise ContributionError(f"{name}: {_line(reason)}")
    array = record.get(_ARRAY) if isinstance(record, ArrayRecord) and len(record) == 1 else None
    if array is None:
        fix = "update CollabDM there or here"
        raise ContributionError(explain(name, got="a reply of another kind", expected="a contribution", fix=fix))
    said = f"an array said to be {array.stype} of {array.dtype}, {list(array.shape)}"
    honest = _as_array(array.data)
    if (array.dtype, tuple(array.shape), array.stype) != (honest.dtype, honest.shape, honest.stype):
        got, expected = f"{said}, with {len(array.data):,} bytes", f"{honest.stype} of uint8, [{len(array.data)}]"
        raise ContributionError(explain(name, got=got, expected=expected, fix="update CollabDM there or here"))
    return array.data


def _as_array(content: bytes) -> Array:
    return Array(dtype="uint8", shape=(len(content),), stype="collabdm.contribution", data=content)


def _line(text: str) -> str:
    """A stranger's text as one printable line."""
    return printable(" ".join(text.split()))[:500]
