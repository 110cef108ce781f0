"""Text files that people write with any editor: some put a byte order mark first, and some write UTF-16."""

from pathlib import Path

__all__ = ["read_text"]

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, without a byte order mark.

    Raises `OSError`, and `ValueError` for anything else than UTF-8, saying what it is.
    """
    content = path.read_bytes()
    if content.startswith(_UTF16):
        raise ValueError("text in UTF-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"byte 0x{content[error.start]:02x} in line {line}, which is not UTF-8") from None
