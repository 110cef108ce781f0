"""What a table of facts says of a round."""

import pytest

from collabdm.cli.output import dearer_text, duration_text, risen_text, screened_text, topped_text


def test_what_a_rule_kept_out_and_a_loss_that_rose_are_told() -> None:
    assert screened_text({"west": {"size": 8, "distance": 2}, "north": {"distance": 1}}) == {"west": 10, "north": 1}
    assert screened_text({}) == screened_text(None) == {}
    told = risen_text({"before": 0.141, "after": 0.198, "seeds": 10})
    assert told == "worse, 0.141 before refinement and 0.198 after: set server.lr lower"
    assert risen_text({"before": 2.0, "after": 2.0, "seeds": 10}) == risen_text(None) == ""


def test_what_costs_more_than_the_data_is_told_and_nothing_else() -> None:
    assert dearer_text(23_000, 23_000) == ""
    assert "; a lower --max-upload makes" in dearer_text(943_000, 23_000, limited=True)
    assert dearer_text(943_000, 23_000).startswith("943.0 kB sent, raw data 23.0 kB: a round pays for itself with more")


def test_samples_made_up_at_the_start_need_no_glossary() -> None:
    assert topped_text({}) == topped_text(None) == ""
    assert topped_text({"0": 1, "cat": 2}) == (
        "1 of class 0, 2 of class cat, from those that came: the clients' sets fell short"
    )
    assert "and 3 more classes, from those" in topped_text({str(y): 1 for y in range(15)})


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "less than a second"), (41.4, "41 s"), (99.4, "99 s"), (100, "2 min"), (6000, "1.7 h")],
)
def test_durations_are_rounded(seconds: float, told: str) -> None:
    assert duration_text(seconds) == told
