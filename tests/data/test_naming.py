from pathlib import Path

import pytest

from collabdm.data.naming import public_name


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("digits", "digits"),
        ("owner/name", "owner/name"),
        ("owner/name:config", "owner/name:config"),
        ("/srv/patients/4711/scans", "scans"),
        ("/srv/patients/scans/", "scans"),
        ("/srv/patients/data.npz", "data.npz"),
        ("patients/data.npz", "data.npz"),
        ("a/b/c", "c"),
        ("./here", "here"),
        ("~/scans", "scans"),
        ("C:\\patients\\scans", "scans"),
        ("../../x/.hidden", ".hidden"),
    ],
)
def test_of_a_path_only_the_last_part_is_said(source: str, said: str) -> None:
    assert public_name(source) == said


def test_a_folder_that_looks_like_a_repository_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "patients" / "scans").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "patients")
    assert public_name(".") == public_name("./") == "patients"
    monkeypatch.chdir(tmp_path)
    assert public_name("patients/scans") == "scans"
