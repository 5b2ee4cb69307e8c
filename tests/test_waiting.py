"""Waiting ends with the value, or with what was seen last."""

import time
from itertools import count

import pytest

from hotfire.errors import ClusterError, HarnessError, TargetNotReady
from hotfire.waiting import of_target, pause, until


def test_the_first_truthy_value_is_returned() -> None:
    numbers = count()

    assert until(lambda: next(numbers), within_seconds=5, what="one", poll_seconds=0.001) == 1


def test_a_value_that_never_comes_is_an_error_with_what_was_seen_last() -> None:
    with pytest.raises(HarnessError, match=r"expected two pods within 0.01 s; last seen: \[\]"):
        until(list, within_seconds=0.01, what="two pods", poll_seconds=0.001)


def test_the_deadline_is_kept_although_polls_are_far_apart() -> None:
    started = time.monotonic()

    with pytest.raises(HarnessError):
        until(lambda: False, within_seconds=0.05, what="nothing", poll_seconds=60)

    assert time.monotonic() - started < 5


def test_a_pause_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="reason"):
        pause(0, why="")


def test_target_that_does_what_it_owes_gives_the_value() -> None:
    numbers = count()

    found = of_target(lambda: next(numbers), within_seconds=5, what="one", poll_seconds=0.001)

    assert found
    assert found.required() == 1


def test_target_that_does_not_is_a_value_and_fails_who_requires_it() -> None:
    nothing: list[str] = []
    found = of_target(lambda: nothing, within_seconds=0.01, what="two pods", poll_seconds=0.001)

    assert not found
    assert str(found) == "expected two pods within 0.01 s; last seen: []"
    with pytest.raises(TargetNotReady, match=r"two pods.*; vllm-0 is Pending: Unschedulable"):
        found.required(because="vllm-0 is Pending: Unschedulable")


def test_not_being_able_to_look_is_no_value() -> None:
    def blind() -> bool:
        raise ClusterError("nobody answers")

    with pytest.raises(ClusterError):
        of_target(blind, within_seconds=5, what="two pods")


def test_time_in_which_nobody_could_look_is_not_the_target_s() -> None:
    blind = iter([0.0, *[0.3] * 100])
    began = time.monotonic()

    found = of_target(
        lambda: time.monotonic() - began > 0.2,
        within_seconds=0.1,
        what="two pods",
        poll_seconds=0.01,
        excused_seconds=lambda: next(blind),
    )

    assert found


def test_target_not_ready_is_no_trouble_of_ours() -> None:
    assert not issubclass(TargetNotReady, HarnessError)
