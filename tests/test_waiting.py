"""Waiting ends with the value, or with what was seen last."""

import time
from itertools import count

import pytest

from hotfire.errors import HarnessError
from hotfire.waiting import eventually, pause, until


def test_the_first_truthy_value_is_returned() -> None:
    numbers = count()

    assert until(lambda: next(numbers), within_seconds=5, what="one", poll_seconds=0.001) == 1


def test_a_value_that_never_comes_is_an_error_with_what_was_seen_last() -> None:
    with pytest.raises(HarnessError, match=r"expected two pods within 0.01 s; last seen: \[\]"):
        until(list, within_seconds=0.01, what="two pods", poll_seconds=0.001)


def test_what_the_target_failed_to_do_is_its_last_value_and_no_error() -> None:
    numbers = count()

    assert eventually(lambda: next(numbers), within_seconds=5, poll_seconds=0.001) == 1
    assert eventually(list, within_seconds=0.01, poll_seconds=0.001) == []


def test_the_deadline_is_kept_although_polls_are_far_apart() -> None:
    started = time.monotonic()

    with pytest.raises(HarnessError):
        until(lambda: False, within_seconds=0.05, what="nothing", poll_seconds=60)

    assert time.monotonic() - started < 5


def test_a_pause_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="reason"):
        pause(0, why="")
