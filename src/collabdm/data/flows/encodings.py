"""What to do with a file of flows whose bytes are not UTF-8."""

from pathlib import Path

__all__ = ["not_utf8"]

# Bytes that no character of Windows' code page 1252 has. All others above 0x9f it shares with Latin 1; those from 0x80
# on (dashes, quotes) Latin 1 has as control characters, so that converting from Latin 1 makes names nobody can see.
_NOT_1252 = b"\x81\x8d\x8f\x90\x9d"


def not_utf8(path: Path, content: bytes, error: UnicodeDecodeError) -> tuple[str, str]:
    """What was got and the fix, for `error` in decoding `content`, a line of the file."""
    got = f"byte 0x{content[error.start]:02x}, which is not UTF-8"
    if any(byte in content for byte in _NOT_1252):
        return got, f"find out its encoding, and convert it: iconv -f ENCODING -t UTF-8 {path.name} > utf8.csv"
    shown = content[error.start : error.start + 1].decode("cp1252")
    return f"{got} ('{shown}' in Windows' CP1252)", f"convert it: iconv -f CP1252 -t UTF-8 {path.name} > utf8.csv"
