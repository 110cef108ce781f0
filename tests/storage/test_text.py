from pathlib import Path

import pytest

from collabdm.storage.text import read_text


def test_a_byte_order_mark_is_no_text_and_only_utf8_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_bytes("\ufeffname = 'Zürich'\r\n".encode())
    assert read_text(path) == "name = 'Zürich'\r\n"
    for order in ("utf-16", "utf-16-be"):
        path.write_bytes("\ufeffname".encode(order) if order == "utf-16-be" else "name".encode(order))
        with pytest.raises(ValueError, match="UTF-16"):
            read_text(path)
    path.write_bytes(b"a = 1\nname = 'Z\xfcrich'\n")
    with pytest.raises(ValueError, match="byte 0xfc in line 2, which is not UTF-8"):
        read_text(path)
