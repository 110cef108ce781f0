"""The report of a comparison."""

from pathlib import Path

import pytest

from collabdm.errors import RunFolderError
from collabdm.report import run_report
from collabdm.storage.files import write_json
from pages import Page
from report_samples import write_comparison


def test_every_method_is_a_row_and_the_best_is_named(tmp_path: Path) -> None:
    page = Page(run_report(write_comparison(tmp_path)))
    page.assert_harmless()
    assert page.headings == [
        "3 methods on digits",
        "The methods",
        "Accuracy against bytes",
        "The images",
        "Accuracy of each class",
        "The clients",
        "Settings",
        "How to reproduce it",
    ]
    told = " ".join(page.text.replace("\u00a0", " ").split())
    brief = "collabdm-pae is best with 2 of each class: right on 70 of 100 test images. Each site sent 2 MB, once."
    assert f"In short. Of the methods that work between sites, {brief}" in told
    assert "collabdm 60.0 ± 1.0 % 512 B 1 MB" in told
    assert "random-real 50.0 ± 1.0 % \u2013 \u2013" in told
    assert "collabdm compare --config config.toml --out runs/again --methods random-real,collabdm,collabdm-pae" in told
    pictures = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]
    assert pictures.count("cat by collabdm") == 2


def test_rows_alone_are_enough(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('dataset = "digits"\n')
    rows = [{"method": "fedavg", "accuracy_mean": 0.5}, {"method": "<b>", "accuracy_mean": 0.25}]
    write_json(tmp_path / "comparison.json", rows)
    page = Page(run_report(tmp_path))
    page.assert_harmless()
    assert page.headings == ["2 methods on digits", "The methods", "Settings", "How to reproduce it"]
    assert "<b>" in page.text


def test_recipes_that_differ_have_a_column_and_a_warning(tmp_path: Path) -> None:
    def told(*recipes: str | None) -> str:
        (tmp_path / "config.toml").write_text("")
        rows = [{"method": f"m{i}", "accuracy_mean": 0.5, "protocol": one} for i, one in enumerate(recipes)]
        write_json(tmp_path / "comparison.json", rows)
        return " ".join(Page(run_report(tmp_path)).text.replace("\u00a0", " ").split())

    alike = told("strong", None, "strong")
    assert "Sets are judged by the protocol strong." in alike
    assert "Judged by" not in alike
    mixed = told("strong", None, "fast, 20 epochs")
    assert "compare rows of the same one only" in mixed
    assert "Judged by" in mixed
    assert "m0 50.0 % strong" in mixed
    assert "m2 50.0 % fast, 20 epochs" in mixed


@pytest.mark.parametrize("content", ['{"rows": 1}', '[{"method": "a"}]', '[{"method": 1, "accuracy_mean": 0.5}]', "x"])
def test_damaged_rows_are_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    (tmp_path / "comparison.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"comparison\.json: got .*; fix: "):
        run_report(tmp_path)
