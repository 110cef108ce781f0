import os
import socket
from pathlib import Path
from typing import Any

import pytest

from collabdm.storage.reading import MOST_JSON, read_text, regular_bytes, strict_json

REFUSED = {
    "duplicate": (b'{"a": 1, "b": {"c": 1, "c": 1}}', "the key 'c' twice"),
    "duplicate by escape": (rb'{"a": 1, "\u0061": 1}', "the key 'a' twice"),
    "NaN": (b"[NaN]", "NaN"),
    "infinity": (b"-Infinity", "-Infinity"),
    "deep": (b"[" * 10_000, "nested too deeply"),
    "another encoding": ('{"a": 1}'.encode("utf-16"), "text in UTF-16"),
    "cut": (b'{"a": 1', "delimiter"),
    "nothing": (b"", "Expecting value"),
    "two values": (b"1 2", "Extra data"),
    "a huge number": (b"9" * 5000, "digit"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_json_that_says_more_than_one_thing_is_refused(name: str) -> None:
    text, mentions = REFUSED[name]
    with pytest.raises(ValueError, match=mentions):
        strict_json(text)


@pytest.mark.parametrize("value", [None, True, 1.5, "é漢", [1, {"a": {"a": {}}}]])
def test_json_is_read(value: Any) -> None:
    import json

    assert strict_json(json.dumps(value)) == value
    assert strict_json(b"\xef\xbb\xbf" + json.dumps(value, ensure_ascii=False).encode()) == value


def test_only_a_regular_file_is_read_and_only_so_much_of_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert regular_bytes(tmp_path / "file", 5) == regular_bytes(tmp_path / "link", 5) == b"12345"
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        for path, wrong in {
            tmp_path / "file": "more than 4 bytes",
            tmp_path / "pipe": "a pipe, not a regular file",
            tmp_path / "socket": "No such device",
            tmp_path: "a folder, not a regular file",
            Path("/dev/zero"): "a device, not a regular file",
            tmp_path / "nothing": "No such file",
        }.items():
            with pytest.raises(OSError, match=r".") as caught:
                regular_bytes(path, 4)
            assert wrong in str(caught.value.strerror), path


def test_a_byte_order_mark_is_no_text_and_only_utf8_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_bytes("\ufeffname = 'Zürich'\r\n".encode())
    assert read_text(path, MOST_JSON) == "name = 'Zürich'\r\n"
    for order in ("utf-16", "utf-16-be"):
        path.write_bytes("\ufeffname".encode(order) if order == "utf-16-be" else "name".encode(order))
        with pytest.raises(ValueError, match="UTF-16"):
            read_text(path, MOST_JSON)
    path.write_bytes(b"a = 1\nname = 'Z\xfcrich'\n")
    with pytest.raises(ValueError, match="byte 0xfc in line 2, which is not UTF-8"):
        read_text(path, MOST_JSON)
