"""The card's warning that the exported files train worse."""

from pathlib import Path

from collabdm.distilled.measured import warn_in_card
from distilled.test_set import make

WARNING = "> **The exported files train worse than the set:** 54.0% instead of 78.8%. Train on `distilled.safetensors`."


def test_more_than_a_point_is_warned_of_once_and_taken_back(tmp_path: Path) -> None:
    make().save(tmp_path / "set")
    card = tmp_path / "set" / "README.md"
    before = card.read_text()
    assert not warn_in_card(tmp_path / "set", 0.788, 0.7785)
    assert card.read_text() == before
    for _ in range(2):
        assert warn_in_card(tmp_path / "set", 0.788, 0.54)
        assert card.read_text().count("train worse") == 1
        assert WARNING in card.read_text().splitlines()
        # Nothing else has changed.
        assert card.read_text().replace(f"{WARNING}\n\n", "") == before
    assert not warn_in_card(tmp_path / "set", 0.788, 0.80)
    assert card.read_text() == before


def test_a_file_alone_has_no_card(tmp_path: Path) -> None:
    (tmp_path / "distilled.safetensors").write_bytes(make().to_bytes())
    assert not warn_in_card(tmp_path, 0.9, 0.1)
    assert not warn_in_card(tmp_path / "distilled.safetensors", 0.9, 0.1)
    assert [path.name for path in tmp_path.iterdir()] == ["distilled.safetensors"]
