"""What an autoscaler's status tells of its metrics, and what demand follows from its targets."""

from decimal import Decimal
from typing import Any

import pytest

from fixtures.autoscaling import Reading, readings_of
from fixtures.demand import Raised

CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}


def external(field: str, **part: Any) -> dict[str, Any]:  # noqa: ANN401 - of a document
    return {"type": "External", "external": {"metric": {"name": "s0-prometheus"}, field: part}}


def autoscaler(*told: dict[str, Any], active: bool = True) -> dict[str, Any]:
    wanted = external("target", type="AverageValue", averageValue="4")
    condition = {"type": "ScalingActive", "status": str(active)}
    return {
        "spec": {"metrics": [CPU, wanted]},
        "status": {"currentMetrics": list(told), "conditions": [condition]},
    }


def test_share_of_each_engine_is_read_and_the_processor_left_out() -> None:
    found = autoscaler(external("current", averageValue="4500m"))

    [reading] = readings_of(found)

    assert (reading.now, reading.target, reading.per_engine) == (Decimal("4.5"), Decimal(4), True)
    assert reading.above


def test_autoscaler_at_its_target_is_not_above_it() -> None:
    [reading] = readings_of(autoscaler(external("current", averageValue="4300m")))

    assert not reading.above


@pytest.mark.parametrize(("now", "spared"), [("2", True), ("2100m", False), (None, False)])
def test_fewer_engines_are_enough_up_to_their_own_target(now: str | None, spared: bool) -> None:
    told = external("current", averageValue=now) if now else {"type": ""}

    [reading] = readings_of(autoscaler(told))

    assert reading.spares_one_of(2) is spared


def test_metric_that_is_not_told_reads_nothing() -> None:
    [reading] = readings_of(autoscaler({"type": ""}))

    assert reading.now is None


def test_value_of_an_autoscaler_that_cannot_read_is_an_old_one() -> None:
    [reading] = readings_of(autoscaler(external("current", averageValue="9"), active=False))

    assert reading.now is None


def test_metric_that_reads_zero_before_and_after_has_not_moved() -> None:
    zero = Reading(name="queue", target=Decimal(4), per_engine=True, now=Decimal(0))

    raised = Raised(in_flight=6, before=[zero], after=[zero], above=False)

    assert not raised.moved
    assert "queue reads 0, its target is 4" in raised.told
