"""What checks conclude of losses, bursts, shares and dashboards; pure functions over records."""

from typing import Any

import pytest

from fixtures.liveness import Told
from hotfire.cluster import Node
from hotfire.experiment.cascade import cascades
from hotfire.measure.history import FailureClass, Request
from hotfire.rundir import Event
from suites.api.test_overload_is_refused import Burst
from suites.gpu.test_shares_are_offered_as_declared import shares_of
from suites.network.test_connections_outlive_the_loss_of_a_path import seen
from suites.observability.test_signals_of_the_model_are_available import panels
from suites.slo.test_loss_of_a_worker_starts_no_failure_elsewhere import Survivor, failures

GPU, SECOND_NS = "nvidia.com/gpu", 1_000_000_000
CALM = Told(failed=0, kills=0, restarts=2)


def event(at: int, what: str, fault: str, **data: object) -> Event:
    return Event(
        at_ns=at, kind="fault", what=what, source="test", experiment=fault, data=dict(data)
    )


def test_harm_counts_from_the_moment_in_which_a_fault_was_ordered() -> None:
    harm: dict[str, Any] = {"pod": "vllm-1", "harm": "restarted"}
    record = [
        event(1, "beyond-radius", "FLT-POD-001", pod="vllm-0", harm="gone"),
        event(2, "injected", "FLT-POD-001"),
        event(3, "beyond-radius", "FLT-POD-001", **harm),
        event(4, "injected", "FLT-ENG-001"),
        event(5, "beyond-radius", "FLT-NOD-002", **harm),
    ]

    assert cascades(record) == {"FLT-POD-001": ["vllm-1: restarted"], "FLT-ENG-001": []}


@pytest.mark.parametrize(
    ("after", "serving", "failed"),
    [
        (CALM, True, False),
        (Told(failed=3, kills=0, restarts=2), True, False),
        (Told(failed=3, kills=1, restarts=2), True, True),
        (Told(failed=0, kills=0, restarts=3), True, True),
        (CALM, False, True),
    ],
)
def test_a_survivor_fails_when_it_is_ended_or_does_not_serve(
    after: Told, serving: bool, failed: bool
) -> None:
    found = failures({"vllm-1": Survivor(before=CALM, after=after, serving=serving)})

    assert bool(found) == failed


def row(number: int, error: FailureClass | None = None, *, seconds: float = 0.1) -> Request:
    end_ns = SECOND_NS + round(seconds * SECOND_NS)
    return Request(
        seq=number, sched_ns=SECOND_NS, send_ns=SECOND_NS, end_ns=end_ns, error_class=error
    )


def test_a_burst_tells_the_refused_from_the_lost() -> None:
    burst = Burst(
        planned=4,
        rows=[
            row(0),
            row(1, FailureClass.HTTP_429, seconds=0.5),
            row(2, FailureClass.HTTP_503),
            row(3, FailureClass.DEADLINE, seconds=30),
        ],
    )

    assert [one.seq for one in burst.refused] == [1, 2]
    assert [one.seq for one in burst.lost] == [3]
    assert burst.slowest_refusal_seconds == 0.5


def test_connections_on_the_path_are_those_that_fell_silent() -> None:
    rows = [
        {"broken": 0, "silences": [0.06, 0.05, 0.06], "beside": 0.05},
        {"broken": 1, "silences": [0.41, 0.05, 0.0], "beside": 0.07},
    ]

    found = seen(rows)

    assert (found.broken, found.touched) == (1, 1)
    assert (found.longest_stall_seconds, found.beside_seconds) == (0.41, 0.07)


def test_nothing_seen_of_connections_is_no_stall() -> None:
    assert seen([]).touched == 0


def node(labels: dict[str, str], allocatable: dict[str, str]) -> Node:
    metadata = {"name": "n3", "uid": "u", "labels": labels}
    return Node.parse({"metadata": metadata, "status": {"allocatable": allocatable}})


@pytest.mark.parametrize(
    ("labels", "allocatable", "expected"),
    [
        ({f"{GPU}.replicas": "1", f"{GPU}.count": "2"}, {GPU: "2"}, []),
        ({}, {GPU: "2"}, []),
        ({f"{GPU}.replicas": "4", f"{GPU}.count": "2"}, {GPU: "8"}, [(GPU, 8, 8, 4)]),
        (
            {f"{GPU}.replicas": "4", f"{GPU}.count": "2"},
            {f"{GPU}.shared": "8"},
            [(f"{GPU}.shared", 8, 8, 4)],
        ),
        (
            {f"{GPU}.replicas": "0", "nvidia.com/mig-3g.40gb.count": "2"},
            {"nvidia.com/mig-3g.40gb": "4"},
            [("nvidia.com/mig-3g.40gb", 2, 4, 1)],
        ),
    ],
)
def test_shares_are_read_from_labels_and_from_what_is_offered(
    labels: dict[str, str], allocatable: dict[str, str], expected: list[tuple[str, int, int, int]]
) -> None:
    found = shares_of(node(labels, allocatable), GPU)

    assert [(one.resource, one.declared, one.offered, one.per_device) for one in found] == expected


def test_panels_name_the_series_that_they_ask_for() -> None:
    data = {"x.json": '{"expr": "sum(rate(vllm:e2e_request_latency_seconds_bucket[1m])) by (le)"}'}
    document = {"metadata": {"namespace": "grafana", "name": "engines"}, "data": data}

    assert panels([document], "vllm:") == {
        "grafana/engines": {"vllm:e2e_request_latency_seconds_bucket"}
    }
