"""Lines of a CSV that are no flows: rows of separators alone, and the header again where files were joined."""

from collabdm.data.flows.csv_blocks import Block, Header
from collabdm.data.flows.tally import Tally

__all__ = ["without_lines"]

_MARK = b"\xef\xbb\xbf"


def without_lines(block: Block, header: Header, tally: Tally) -> Block:
    """The block with such lines made blank, so that all others keep their numbers; they are counted in `tally`."""
    content, separator = block.content, header.separator.encode()
    # Both are rare, and seen many times faster in the whole than line by line.
    starts = (separator, b'"",', b" ", b"\t", b'""')
    likely = content.startswith(starts) or any(b"\n" + start in content for start in starts)
    if not likely and header.line not in content:
        return block
    lines = content.split(b"\n")
    for position, line in enumerate(lines):
        bare = line.strip()
        if separator in line and not line.strip(b' \t\r"' + separator):
            tally.empty_rows += 1
        elif bare.removeprefix(_MARK) == header.line:
            tally.header_lines += 1
        else:
            continue
        lines[position] = b""
    return Block(line=block.line, content=b"\n".join(lines))
