"""What the check of tenants' limits concludes from what became of requests."""

from collections.abc import Sequence

import pytest

from fixtures.callers import Callers
from fixtures.neighbours import Counted, neighbours_of
from hotfire import Reply, TargetProfile
from hotfire.clients import Limit
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass, Request
from suites.security.test_rate_limits_hold_over_all_replicas import require_again, require_whole
from suites.slo.test_a_surge_of_one_tenant_leaves_others_in_budget import (
    bound_seconds,
    judge,
    require_surge,
    share_alone,
)

LIMIT = Limit(requests=20, seconds=2.0)
MS_NS = 1_000_000
STATUS = {FailureClass.HTTP_429: 429, FailureClass.HTTP_5XX: 500}


def row(number: int, error: FailureClass | None = None, *, after_ms: int = 50) -> Request:
    """Return a request each tenth of a second, answered or refused a moment later."""
    sent_ns = number * 100 * MS_NS
    answered_ns = sent_ns + after_ms * MS_NS
    token_ns = None if error else answered_ns
    return Request(
        seq=number,
        sched_ns=sent_ns,
        send_ns=sent_ns,
        headers_ns=answered_ns,
        end_ns=answered_ns,
        error_class=error,
        status=STATUS.get(error) if error else 200,
        first_ns=token_ns,
        last_ns=token_ns,
    )


def counted(*errors: FailureClass | None) -> Counted:
    return Counted(rows=[row(number, error) for number, error in enumerate(errors)])


def answered(*after_ms: int) -> Counted:
    return Counted(rows=[row(number, after_ms=one) for number, one in enumerate(after_ms)])


def profile(**fields: object) -> TargetProfile:
    said = {"name": "t", "gateway": {"url": "http://g"}, "engine": {"model": "m"}, "budgets": "lab"}
    return TargetProfile.model_validate({**said, **fields})


def callers(**tenants: object) -> Callers:
    return Callers(profile=profile(clients={"tenants": tenants}), record=lambda _: None)


def tenant(limit: Sequence[float] = ()) -> dict[str, object]:
    told = {"limit": {"requests": limit[0], "seconds": limit[1]}} if limit else {}
    return {"headers": {"X-Api-Key": "${env:KEY}"}, **told}


def test_requests_are_answered_refused_or_lost() -> None:
    some = counted(None, FailureClass.HTTP_429, FailureClass.HTTP_5XX, None)

    assert (some.accepted, some.refused, len(some.lost)) == (2, 1, 1)


def test_a_limit_allows_two_windows_more_than_are_filled() -> None:
    some = counted(*[None] * 41)

    assert some.seconds == pytest.approx(4.05)
    assert some.allowed(LIMIT) == 80
    assert counted(*[None] * 39).allowed(LIMIT) == 60


def test_broken_answers_are_told() -> None:
    require_whole(counted(*[None] * 50, FailureClass.HTTP_5XX), "a")

    with pytest.raises(AssertionError, match="2 of 50 of a were neither"):
        require_whole(counted(*[None] * 48, *[FailureClass.HTTP_5XX] * 2), "a")


def test_requests_that_came_to_nobody_tell_nothing() -> None:
    with pytest.raises(HarnessError, match="2 requests of a came to nobody"):
        require_whole(counted(*[None] * 48, *[FailureClass.CONNECT] * 2), "a")


def test_a_refusal_says_when_to_come_again() -> None:
    good = Reply(status=429, headers={"retry-after": "1"})

    assert require_again([good, Reply(status=200)]) == [good]
    with pytest.raises(AssertionError, match="1 of 2 refusals"):
        require_again([good, Reply(status=429)])
    with pytest.raises(HarnessError, match="none of 1"):
        require_again([Reply(status=200)])


def test_the_shortest_limit_is_tried_beside_a_tenant_without_one() -> None:
    found = neighbours_of(callers(a=tenant((60, 60)), b=tenant((5, 1)), c=tenant()))

    assert (found.name, found.other, found.rate_per_second) == ("b", "c", 5)
    assert neighbours_of(callers(a=tenant((60, 60)), b=tenant((5, 1)))).other == "a"


@pytest.mark.parametrize("tenants", [{}, {"a": tenant((5, 1))}, {"a": tenant(), "b": tenant()}])
def test_without_a_limit_and_a_neighbour_nothing_is_judged(tenants: dict[str, object]) -> None:
    with pytest.raises(HarnessError, match=r"clients\.tenants"):
        neighbours_of(callers(**tenants))


ALONE = answered(*[40] * 95, *[60] * 5)


def test_later_is_beyond_the_percentile_and_its_margin() -> None:
    small = profile(measurement={"band_floor_seconds": 0.001})

    assert bound_seconds(ALONE, profile()) == pytest.approx(0.09)
    assert bound_seconds(ALONE, small) == pytest.approx(0.05)


def test_a_few_later_answers_are_chance_and_many_are_not() -> None:
    share = share_alone(ALONE)

    assert share == pytest.approx(0.18, abs=0.02)
    assert not judge(answered(*[40] * 75, *[500] * 25), 0.09, share).beyond
    assert judge(answered(*[40] * 50, *[500] * 50), 0.09, share).beyond


def test_failed_answers_are_later() -> None:
    lost = Counted(rows=[row(number, FailureClass.HTTP_429) for number in range(100)])

    assert judge(lost, 0.09, 0.05).later == 100


def test_a_baseline_that_fails_is_none() -> None:
    with pytest.raises(HarnessError, match="3 of 100 answers failed"):
        bound_seconds(counted(*[None] * 97, *[FailureClass.CONNECT] * 3), profile())


def test_a_surge_that_nobody_feels_is_none() -> None:
    require_surge(counted(*[None] * 50, FailureClass.HTTP_429), 0.09, 0.05)
    require_surge(answered(*[500] * 50), 0.09, 0.05)

    with pytest.raises(HarnessError, match="there is room for them"):
        require_surge(answered(*[40] * 50), 0.09, 0.05)
