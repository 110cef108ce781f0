"""How many of something, in words that agree: `1 network`, `1,200 networks`."""

__all__ = ["counted"]


def counted(count: int, thing: str) -> str:
    """The count and the thing, with an `s` unless there is one."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
