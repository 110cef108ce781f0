import pytest

from collabdm.cli.course import ANSWER, Way, round_course
from collabdm.progress import Event


def test_the_way_of_a_round_goes_from_none_to_all_and_never_back() -> None:
    way, seen = Way(round_course(2)), []
    for client in "ab":
        for stage, total in (("statistics", 4), ("local", 10)):
            seen += [way.after(Event(stage=stage, client=client, done=i + 1, total=total)) for i in range(total)]
    # Both clients have done what is theirs: 70 of 100 parts, of which the first step of four was 20 / 2 / 4.
    assert (seen[0], seen[-1]) == (pytest.approx(0.025), pytest.approx(0.7))
    for stage in ("distill", "evaluate"):
        seen += [way.after(Event(stage=stage, done=i, total=5)) for i in range(6)]
    # What the server judges on the way begins anew.
    seen.append(way.after(Event(stage="evaluate", done=1, total=5)))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)


def test_clients_that_are_told_only_when_they_are_done_count_as_much() -> None:
    way = Way(round_course(4))
    assert way.after(Event(stage="statistics", client="a", done=3, total=3)) == pytest.approx(0.05)
    assert way.after(Event(stage="local", client="a", done=9, total=9)) == pytest.approx(0.175)
    assert way.after(Event(stage="engine", done=1, total=1)) == pytest.approx(0.175)


def test_one_sites_answer_is_its_two_stages() -> None:
    way = Way(ANSWER)
    assert way.after(Event(stage="statistics", client="a", done=1, total=1)) == pytest.approx(2 / 7)
    assert way.after(Event(stage="local", client="a", done=1, total=1)) == pytest.approx(1.0)
