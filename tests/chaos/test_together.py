"""Many nodes are asked at once, and answers keep the order of the questions."""

from threading import Barrier

import pytest

from hotfire.chaos.together import side_by_side


def test_all_are_asked_before_any_has_to_have_answered() -> None:
    both = Barrier(2)

    def ask(name: str) -> str:
        both.wait(10)
        return name.upper()

    assert side_by_side(ask, ["a", "b"]) == ["A", "B"]


def test_one_that_cannot_answer_is_told() -> None:
    def ask(number: int) -> float:
        return 1 / number

    with pytest.raises(ZeroDivisionError):
        side_by_side(ask, [1, 0, 2])


def test_nobody_is_asked_where_there_is_nobody() -> None:
    assert side_by_side(str, []) == []
