"""What a page says first: scale-free, true to the figures, and in words for whoever knows no method."""

from typing import Any

import pytest

from collabdm.report.brief import of_comparison, of_hundred, of_run
from collabdm.report.reading import Metrics, Row, checked
from report_samples import metrics


def sentences(*, images: int | None = 6, ceiling: float | None = None, **changes: Any) -> str:
    read = checked(Metrics, metrics() | changes, "metrics")
    found = of_run(read, images=images, plural="images", ceiling=ceiling)
    return " ".join(found).replace("\u00a0", " ").replace("\u202f", " ")


def test_a_run_in_words() -> None:
    # North and south hold 400 + 200 + 133 and 0 + 37 + 37 samples; the sites send 900 and 700 kB of 1 and 3 MB.
    told = sentences(ceiling=0.8, raw_bytes={"north": 1_000_000, "south": 3_000_000})
    assert told == (
        "A network that learned from 6 synthetic images is right on 75 of 100 test images, which it has never seen."
        # Of 14, 10 and 10 test images, the commonest class has 16 with the five that are taken for another.
        " Naming one class for all of them would be right on 42 of 100."
        " That is 94 % of what all 807 images give."
        " It is weakest on the class frog, of which it finds 71 of 100."
        " Each of 2 sites sent 800 kB, once: 40 % of the 2 MB of data that it holds."
    )


@pytest.mark.parametrize(
    ("changes", "learner"),
    [
        ({"method": "full-data"}, "A network that learned from all images in one place is"),
        ({"method": "random-real"}, "A network that learned from 6 real images is"),
        ({"method": "fed-herding"}, "A network that learned from 6 real images is"),
        ({"method": "of somebody else"}, "A network that learned from 6 synthetic images is"),
        ({"method": "fedavg", "product": "model"}, "The model that the sites made together is"),
    ],
)
def test_who_learned_from_what(changes: dict[str, Any], learner: str) -> None:
    assert sentences(**changes).startswith(learner)


def test_the_ceiling_is_not_held_beside_itself() -> None:
    assert "That is" not in sentences(method="full-data", ceiling=0.75)


@pytest.mark.parametrize(
    ("held", "told"),
    [(8_000_000, "10 % of"), (80_000_000, "1.0 % of"), (400_000, "2.0 times"), (20_000, "40 times")],
)
def test_what_is_sent_beside_what_is_held(held: int, told: str) -> None:
    assert f"800 kB, once: {told} the" in sentences(raw_bytes={"north": held, "south": held})


def test_a_round_by_files_that_nobody_judged() -> None:
    made = "The round made 6 synthetic images. Nobody has tested yet what a network learns from them: collabdm evaluate"
    assert sentences(accuracy=None, product=None) == f"{made} does. Each of 2 sites sent 800 kB, once."
    assert sentences(accuracy=None, rounds=None) == "Each of 2 sites sent 800 kB."
    assert sentences(accuracy=None, rounds=12) == "Each of 2 sites sent 800 kB, in 12 rounds."
    assert sentences(accuracy=None, bytes={}) == ""


@pytest.mark.parametrize(
    ("accuracy", "told"), [(0.934, "93"), (1.0, "100"), (0.997, "99.7"), (0.0, "0"), (0.004, "0.4"), (0.5, "50")]
)
def test_a_hundred_is_said_of_all_alone(accuracy: float, told: str) -> None:
    assert of_hundred(accuracy) == f"{told} of 100"


def test_a_comparison_in_words() -> None:
    rows = [
        Row(method="full-data", accuracy_mean=0.98, product="set"),
        Row(method="random-real", accuracy_mean=0.93, product="set"),
        Row(method="fedavg", accuracy_mean=0.5, bytes_up=9e6, rounds=20, product="model"),
        Row(method="collabdm", accuracy_mean=0.91, bytes_up=2e5, rounds=1, product="set"),
    ]
    told = " ".join(of_comparison(rows, ipc=10, plural="images", held=1437)).replace("\u00a0", " ")
    assert told.replace("\u202f", " ") == (
        "Of the methods that work between sites, collabdm is best with 10 of each class:"
        " right on 91 of 100 test images."
        " That is 93 % of what a network reaches that learns from all 1 437 images in one place."
        " Each site sent 200 kB, once."
    )
    alone = of_comparison(rows[:2], ipc=None, plural="rows", held=0)
    assert alone[0] == "Of the methods, random-real is best: right on 93 of 100 test rows."
    assert of_comparison([], ipc=1, plural="rows", held=0) == []
