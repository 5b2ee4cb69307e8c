"""The engines' account and the client's must go together, or one of them is not believed."""

import pytest

from hotfire import metrics
from hotfire.engines.dialect import dialect_of
from hotfire.measure.crosscheck import Agreement, CrossCheck, cross_check
from hotfire.measure.history import Request

S = 10**9
BOUNDS = (0.1, 0.25, 0.5)


def scrape(
    count: int, mean: float, name: str = "vllm:time_to_first_token_seconds"
) -> metrics.Metrics:
    lines = [f'{name}_bucket{{le="{bound}"}} {count}' for bound in (*BOUNDS, "+Inf")]
    return metrics.parse("\n".join([*lines, f"{name}_count {count}", f"{name}_sum {count * mean}"]))


def rows(count: int, ttft: float) -> list[Request]:
    return [
        Request(seq=i, sched_ns=i * S, send_ns=i * S + S // 10, first_ns=i * S + S // 10
                + round(ttft * S))
        for i in range(count)
    ]  # fmt: skip


def checked(count: int, client: float, engine: float, *, counted: int | None = None) -> CrossCheck:
    return cross_check(rows(count, client), scrape(7, 9.0), _later(counted or count, engine))


def _later(count: int, mean: float) -> metrics.Metrics:
    return scrape(7 + count, (7 * 9.0 + count * mean) / (7 + count))


def test_the_difference_is_the_way_between_them() -> None:
    found = checked(200, 0.215, 0.200)

    assert found.agreement is Agreement.AGREES
    assert found.ttft_between_seconds == pytest.approx(0.015)
    assert found.ttft_by_client_seconds == pytest.approx(0.215)
    assert found.requests_by_engine == 200


@pytest.mark.parametrize(
    ("client", "agreement"), [(0.1, Agreement.AGREES), (0.04, Agreement.MEASURING_FAULT)]
)
def test_a_token_seen_before_it_was_made_is_a_measuring_fault(
    client: float, agreement: Agreement
) -> None:
    # The engine's mean of 0.2 s lies in the bucket from 0.1 to 0.25 s.
    assert checked(200, client, 0.2).agreement is agreement


def test_other_clients_make_it_not_comparable() -> None:
    found = checked(200, 0.215, 0.200, counted=260)

    assert found.agreement is Agreement.NOT_COMPARABLE
    assert "200" in found.reason
    assert "260" in found.reason


def test_each_kind_of_engine_is_asked_by_its_own_names() -> None:
    dialect, name = dialect_of("sglang"), "sglang:time_to_first_token_seconds"
    before, after = scrape(7, 9.0, name), scrape(207, (7 * 9.0 + 200 * 0.2) / 207, name)

    found = cross_check(rows(200, 0.215), before, after, dialect=dialect)
    strange = cross_check(rows(200, 0.215), before, after)

    assert (found.agreement, found.requests_by_engine) == (Agreement.AGREES, 200)
    assert strange.agreement is Agreement.NOT_COMPARABLE


def test_a_kind_that_tells_no_first_token_is_not_comparable() -> None:
    found = cross_check(rows(5, 0.2), scrape(1, 1.0), scrape(2, 1.0), dialect=dialect_of("tgi"))

    assert found.agreement is Agreement.NOT_COMPARABLE
    assert found.reason == "engines of this kind tell no time to the first token"


def test_a_silent_engine_is_no_agreement() -> None:
    assert cross_check(rows(5, 0.2), None, None).agreement is Agreement.NOT_COMPARABLE
    same = scrape(7, 1.0)
    assert cross_check(rows(5, 0.2), same, same).agreement is Agreement.NOT_COMPARABLE
