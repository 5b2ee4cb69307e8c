"""The bench misses what it cannot show, and knows every ending that its server has."""

import math

import pytest

from bench.endings import CLASSES
from bench.judged import Judged, told
from bench.truth_server import ENDINGS


@pytest.mark.parametrize("at_least", [True, False])
def test_a_value_that_is_no_number_is_missed(*, at_least: bool) -> None:
    line = Judged(what="cost", measured=math.nan, limit=3, at_least=at_least)

    assert not line.met


def test_a_value_on_its_limit_is_met_and_one_beyond_is_not() -> None:
    assert Judged(what="cost", measured=20, limit=20).met
    assert not Judged(what="cost", measured=20.01, limit=20).met
    assert Judged(what="times cheaper", measured=3, limit=3, at_least=True).met
    assert not Judged(what="times cheaper", measured=2.99, limit=3, at_least=True).met


def test_one_missed_line_is_told_in_the_verdict() -> None:
    met, missed = (Judged(what="cost", measured=value, limit=20) for value in (8, 21))

    assert told([met]).endswith("all 1 met")
    assert told([met, missed]).endswith("1 of 2 MISSED")


def test_every_ending_of_the_truth_server_is_judged() -> None:
    assert set(CLASSES) == set(ENDINGS)
