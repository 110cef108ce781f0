"""`.ts` files with something wrong: the line and the channel are named."""

from pathlib import Path

import numpy as np
import pytest

from collabdm.data.series.ts_file import read_ts
from collabdm.errors import DataError
from data.series.conftest import HEAD


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "x.ts"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "head: got no line @data"),
        (HEAD, "data: got no series; expected a line for each series after @data"),
        ("1,2,3:a\n", "line 1: got 1,2,3:a; expected a line that begins with @"),
        (HEAD + "1,2:3,4\n1,2:3,4:run\n", "line 8: got 2 channels; expected 1 channels"),
        (HEAD + "1,2\n", "line 7: got no colon"),
        (HEAD + "1,2:3,4:\n", "line 7: got no class"),
        (HEAD + "1,2:3,4:run\n1,2:3,x4:run\n", "line 8, channel 2: got x4; expected numbers with commas between"),
        (HEAD + '1,2:3,"4,000":run\n', 'line 7, channel 2: got "4; expected numbers'),
        ("@timeStamps true\n@classLabel true a\n@data\n1:a\n", "head: got @timeStamps true"),
        ("@classLabel false\n@data\n1:a\n", "head: got @classLabel false; expected @classLabel true"),
        ("@targetLabel true\n@data\n1:0.5\n", "head: got no @classLabel"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(DataError) as refused:
        read_ts(written(tmp_path, text))
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "; fix: " in str(refused.value)


def test_text_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    path.write_bytes(b"\xff\xfe\x00garbage")
    with pytest.raises(DataError, match="content: got UnicodeDecodeError"):
        read_ts(path)
    with pytest.raises(DataError, match="content: got FileNotFoundError"):
        read_ts(tmp_path / "nowhere.ts")


def test_windows_files_and_channels_of_several_lengths_are_read(tmp_path: Path) -> None:
    text = "\ufeff@CLASSLABEL True 1 2\r\n@DATA\r\n1,2,3:4:2\r\n# comment\r\n5:6,7:1\r\n"
    part, classes = read_ts(written(tmp_path, text))
    assert classes == ("1", "2")
    assert part.labels.tolist() == ["2", "1"]
    nan = np.nan
    np.testing.assert_array_equal(part.values, np.array([[[1, 2, 3], [4, nan, nan]], [[5, nan, nan], [6, 7, nan]]]))


def test_infinity_is_left_for_the_modality_to_refuse(tmp_path: Path) -> None:
    part, _ = read_ts(written(tmp_path, HEAD + "1,inf:1e300,2:run\n"))
    assert np.isinf(part.values[0]).any(axis=1).tolist() == [True, True]
