"""The card says what a reader must know before using or sharing a set."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from collabdm.distilled.card import write_card
from collabdm.distilled.format import Metadata
from collabdm.distilled.set import DistilledSet
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.modality import CardText


def card_of(tmp_path: Path, **changes: Any) -> str:
    fields: dict[str, Any] = {
        "samples": torch.zeros(6, 1, 8, 8),
        "labels": torch.tensor([0, 0, 0, 1, 1, 1]),
        "classes": ("cat", "dog"),
        "sample": Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.5,))),
        "augment": ("colour", "crop"),
        "method": "collabdm",
        "facts": {"dataset": "pets", "clients": 5},
    }
    DistilledSet(**(fields | changes)).save(tmp_path / "set")
    return (tmp_path / "set" / "README.md").read_text()


def test_front_matter_is_valid_yaml(tmp_path: Path) -> None:
    card = card_of(tmp_path, facts={"dataset": 'a "quoted": name\n---\nevil: true'})
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["pretty_name"] == 'a "quoted": name\n---\nevil: true, distilled with collabdm'
    assert front["task_categories"] == ["image-classification"]
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "images/**"}]
    assert "evil" not in front


def test_what_it_states(tmp_path: Path) -> None:
    card = card_of(tmp_path)
    assert "6 images (8x8, grey)" in card
    assert "2 classes, 3 images per class" in card
    assert "| 1 | dog | 3 | `images/dog/` |" in card
    assert "| clients | 5 |" in card
    assert 'collabdm.load("path/to/this/folder")  #' in card
    assert "no differential-privacy guarantee" in card
    assert "for generating images, or" in card
    assert "targets" not in card


def test_one_is_no_plural(tmp_path: Path) -> None:
    card = card_of(tmp_path, samples=torch.zeros(2, 1, 8, 8), labels=torch.tensor([0, 1]))
    assert "2 classes, 1 image per class." in card


def test_a_task_that_the_hub_does_not_know_is_left_out() -> None:
    sample = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.5,)))
    metadata = Metadata(classes=("cat",), sample=sample, tiles=1, augment=(), method="collabdm", facts={})
    text = CardText(task="", summary="", classes="", loading="", expansion="")
    front = yaml.safe_load(write_card(metadata, text, 1, "0" * 64).split("---\n")[1])
    assert "task_categories" not in front
    assert front["tags"][0] == "collabdm"


def test_targets_are_told(tmp_path: Path) -> None:
    card = card_of(tmp_path, targets=torch.full((6, 2), 0.5))
    assert "Every sample also has soft targets, a probability for each class." in card
    assert "The file also holds the tensor `targets`" in card


def test_expansion_is_explained_where_it_is_needed(tmp_path: Path) -> None:
    card = card_of(tmp_path, tiles=2, method="collabdm-pae")
    assert "expand to 24 training samples" in card
    assert 'collabdm.load("path/to/this/folder").expanded()' in card
    assert "grid of 2 x 2 tiles" in card


@pytest.mark.parametrize(
    ("method", "facts", "statement"),
    [
        ("collabdm", {"init": "real"}, "initialised from real images, and carry them"),
        (
            "collabdm",
            {"init": "real", "local": {"method": "kmeans"}},
            "initialised from centres of k-means of real images",
        ),
        ("collabdm", {"init": "real", "local": {"method": "herding"}}, "initialised from real images, and carry them"),
        ("collabdm", {"init": "real", "local": "?"}, "initialised from real images, and carry them"),
        ("collabdm", {"init": "noise"}, "initialised from noise"),
        ("collabdm", {}, "assume that they carry real images"),
        ("random-real-pae", {"init": "real"}, "consists of real images"),
        ("collabdm", {}, "averaged over samples), which"),
        ("collabdm", {"features": {"name": "patches"}}, "and the means and the covariance of fixed features), which"),
    ],
)
def test_privacy_note(tmp_path: Path, method: str, facts: dict, statement: str) -> None:
    assert statement in card_of(tmp_path, method=method, facts=facts)


def test_a_promise_is_told_in_place_of_its_absence(tmp_path: Path) -> None:
    card = card_of(tmp_path, facts={"init": "noise", "privacy": {"epsilon": 2.5, "delta": 1e-05, "unit": "group"}})
    assert "is (2.5, 1e-05)-differentially private against adding or removing one group of its data" in card
    assert "no differential-privacy guarantee" not in card


def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    card = card_of(tmp_path, classes=("a|b\n# big", "<script>"), facts={"x": "[link](http://evil)\n|row|"})
    assert "| 0 | a\\|b \\# big | 3 |" in card
    assert "<script>" not in card.replace("\\<script\\>", "")
    assert "\\[link\\](http://evil) \\|row\\|" in card


SHARED = {"privacy": {"epsilon": 2.0, "delta": 1e-5, "unit": "sample", "noise": "sum"}}


def test_the_card_says_who_can_claim_what_where_the_noise_is_whole_in_the_sum(tmp_path: Path) -> None:
    card = card_of(tmp_path, facts=SHARED | {"masks": {"threshold": 4, "epsilon_alone": 4.7}})
    assert r"the sum of what all sites sent is (2.0, 1e-05)-differentially private" in card
    assert "if at least 4 of the sites that took part added their share" in card
    assert "protected by an epsilon of 4.7 only" in card
    assert "towards everyone" not in card


def test_the_card_says_that_only_the_sum_could_be_read(tmp_path: Path) -> None:
    whole = {"privacy": SHARED["privacy"] | {"noise": "site"}, "masks": {"threshold": 4, "epsilon_alone": 2.0}}
    card = card_of(tmp_path, facts=whole)
    assert "towards everyone, the server too: each site added the noise itself" in card
    assert "The server could read the sum of all sites only" in card
