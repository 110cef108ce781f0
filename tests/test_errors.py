"""One line for a user, whatever a stranger's file holds."""

from hypothesis import given
from hypothesis import strategies as st

from collabdm.errors import explain


@given(st.text())
def test_a_message_is_one_printable_line(got: str) -> None:
    message = explain("name", got=got, expected="words", fix="try again")
    assert message.isprintable()
    assert message.startswith("name: got ")
    assert message.endswith("; expected words; fix: try again")


def test_the_end_of_what_is_long_is_left_out() -> None:
    message = explain("factor", got="1" * 5000, expected="1", fix="set it")
    assert message == f"factor: got {'1' * 500} (and 4500 more characters); expected 1; fix: set it"
    whole = explain("factor", got="1" * 500, expected="1", fix="set it")
    assert whole == f"factor: got {'1' * 500}; expected 1; fix: set it"
