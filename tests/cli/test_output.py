"""What a table of facts says of a round."""

from collabdm.cli.output import risen_text, screened_text


def test_what_a_rule_kept_out_and_a_loss_that_rose_are_told() -> None:
    assert screened_text({"west": {"size": 8, "distance": 2}, "north": {"distance": 1}}) == {"west": 10, "north": 1}
    assert screened_text({}) == screened_text(None) == {}
    told = risen_text({"before": 0.141, "after": 0.198, "seeds": 10})
    assert told == "worse, 0.141 before refinement and 0.198 after: set server.lr lower"
    assert risen_text({"before": 2.0, "after": 2.0, "seeds": 10}) == risen_text(None) == ""
