"""Whose autoscaler it is, when it is blind, and what the checks of scaling conclude."""

import json
from collections.abc import Iterator

import httpx
import pytest

from fixtures.autoscaling import API, SCALED_OBJECT_API, Autoscaler
from fixtures.stack import Stack
from hotfire.endpoint import Endpoint, Reply
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass, Request
from hotfire.profile import TargetProfile
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import Awaited
from suites.scaling.test_first_request_after_idling_is_not_lost import (
    Users,
    told_to_return_seconds,
    without_a_word,
)
from suites.scaling.test_loss_of_the_metric_source_never_shrinks_the_fleet import blind
from suites.scaling.test_scale_in_drains_the_chosen_instance_first import ScaleIn
from suites.scaling.test_swinging_demand_moves_no_engines_to_and_fro import (
    Watch,
    longest_pause_seconds,
)
from suites.scaling.test_warm_engines_bridge_the_scale_up import Ramp, ttft_p95_without_seconds
from tests.fake_api import KINDS, FakeApi, connect, serving
from tests.foreign_cluster import NAMESPACE, put

PROFILE = TargetProfile.model_validate(
    {
        "name": "miniature", "gateway": {"url": "http://10.0.0.1"}, "engine": {"model": "tiny"},
        "budgets": {}, "namespace": NAMESPACE,
    }
)  # fmt: skip
METRIC = {"metric": {"name": "queue"}}
TARGET = {"type": "External", "external": METRIC | {"target": {"averageValue": "4"}}}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """Two engines of a StatefulSet, and the autoscaler that KEDA makes for them."""
    monkeypatch.setitem(KINDS, API, {"HorizontalPodAutoscaler": True})
    monkeypatch.setitem(KINDS, SCALED_OBJECT_API, {"ScaledObject": True})
    api = FakeApi()
    put(api, "StatefulSet", "apps/v1", "engines", namespace=NAMESPACE, spec={"replicas": 2})
    for number in range(2):
        put(
            api, "Pod", "v1", f"engines-{number}", namespace=NAMESPACE, labels={"app": "vllm"},
            owner=("StatefulSet", "apps/v1", "engines"),
            spec={"containers": [{"name": "vllm"}]}, status={"phase": "Running"},
        )  # fmt: skip
    put(api, "ScaledObject", SCALED_OBJECT_API, "engines", namespace=NAMESPACE)
    reads(api, 9)
    return api


def reads(api: FakeApi, value: int | None, *, kind: str = "StatefulSet") -> None:
    """Have the autoscaler read so much of each engine; None: nothing."""
    current = {"type": "External", "external": METRIC | {"current": {"averageValue": str(value)}}}
    active = {"type": "ScalingActive", "status": str(value is not None)}
    put(
        api, "HorizontalPodAutoscaler", API, "keda-hpa-engines", namespace=NAMESPACE,
        owner=("ScaledObject", SCALED_OBJECT_API, "engines"),
        spec={
            "scaleTargetRef": {"kind": kind, "name": "engines"}, "metrics": [TARGET],
            "minReplicas": 2, "maxReplicas": 5,
        },
        status={"currentMetrics": [current], "conditions": [active]},
    )  # fmt: skip


@pytest.fixture
def autoscaler(api: FakeApi) -> Iterator[Autoscaler]:
    with serving(api) as address:
        cluster = connect(address)
        yield Autoscaler(cluster, PROFILE, Stack(cluster, PROFILE))


def test_autoscaler_is_that_of_the_engines_owner_of_whatever_kind(autoscaler: Autoscaler) -> None:
    assert (autoscaler.name, autoscaler.replicas()) == ("keda-hpa-engines", 2)
    assert autoscaler.bounds() == (2, 5)


def test_autoscaler_of_another_workload_scales_no_engines(api: FakeApi) -> None:
    reads(api, 9, kind="Deployment")

    with serving(api) as address:
        cluster = connect(address)
        stack = Stack(cluster, PROFILE)
        with pytest.raises(HarnessError, match="StatefulSet engines"):
            Autoscaler(cluster, PROFILE, stack)


def test_autoscaler_that_reads_is_not_blind(autoscaler: Autoscaler) -> None:
    assert not blind(autoscaler)


def test_autoscaler_that_cannot_read_is_blind(api: FakeApi, autoscaler: Autoscaler) -> None:
    reads(api, None)

    assert blind(autoscaler)


def test_autoscaler_that_falls_back_is_blind(api: FakeApi, autoscaler: Autoscaler) -> None:
    status = {"conditions": [{"type": "Fallback", "status": "True"}]}
    put(api, "ScaledObject", SCALED_OBJECT_API, "engines", namespace=NAMESPACE, status=status)

    assert blind(autoscaler)


def test_each_change_of_the_engines_that_are_wanted_is_an_action(
    api: FakeApi, autoscaler: Autoscaler
) -> None:
    watch = Watch(autoscaler=autoscaler, seconds=0.0)
    for wanted in (2, 3, 3, 2):
        spec = {"replicas": wanted}
        put(api, "StatefulSet", "apps/v1", "engines", namespace=NAMESPACE, spec=spec)
        watch.go_on()

    assert (watch.wanted, watch.actions, watch.strayed) == ([2, 3, 2], 2, True)
    assert watch.quickest_seconds() == watch.changed[2] - watch.changed[1]


def scale_in(*failures: FailureClass | None, in_hand: float | None, gone: bool = True) -> ScaleIn:
    rows = [Request(seq=n, sched_ns=n, error_class=why) for n, why in enumerate(failures)]
    went = Awaited(what="vllm-0 gone", within_seconds=1, seen=gone)
    return ScaleIn(names="vllm-0", in_hand=in_hand, gone=went, rows=rows)


@pytest.mark.parametrize(
    ("taken", "tells"),
    [
        (scale_in(None, in_hand=2), True),
        (scale_in(None, in_hand=0), False),
        (scale_in(None, in_hand=None), False),
        (scale_in(None, FailureClass.TRUNCATED_NO_DONE, in_hand=None), True),
        (scale_in(None, in_hand=0, gone=False), True),
    ],
)
def test_scale_in_tells_something_if_who_had_to_go_was_at_work(
    taken: ScaleIn, *, tells: bool
) -> None:
    assert taken.tells is tells


@pytest.mark.parametrize(
    ("declared", "longest"), [(0.0, 22.5), (29.0, 22.5), (30.0, 10.0), (60.0, 40.0), (300.0, 225.0)]
)
def test_a_window_is_sure_to_hold_all_but_a_look_and_the_metric_s_way(
    declared: float, longest: float
) -> None:
    assert longest_pause_seconds(declared) == longest


def rested(api: FakeApi, autoscaler: Autoscaler, spec: dict[str, int]) -> int:
    put(api, "ScaledObject", SCALED_OBJECT_API, "engines", namespace=NAMESPACE, spec=spec)
    return autoscaler.rest()


def test_where_keda_takes_the_last_engine_none_is_left_at_rest(
    api: FakeApi, autoscaler: Autoscaler
) -> None:
    for number in range(2):
        api.remove(("v1", "pods", NAMESPACE, f"engines-{number}"))
    put(api, "StatefulSet", "apps/v1", "engines", namespace=NAMESPACE, spec={"replicas": 0})

    assert rested(api, autoscaler, {"maxReplicaCount": 5}) == 0
    assert rested(api, autoscaler, {"minReplicaCount": 2, "idleReplicaCount": 0}) == 0


def test_without_warm_engines_those_who_came_first_would_have_waited_longest() -> None:
    second = 1_000_000_000
    rows = [
        Request(seq=n, sched_ns=n * second, first_ns=n * second + second // 2, end_ns=n * second)
        for n in range(101)
    ]

    assert ttft_p95_without_seconds(rows, 50.0) == 45.0
    assert ttft_p95_without_seconds(rows, 0.2) == 0.5


def test_without_a_promise_for_first_tokens_no_ramp_is_climbed() -> None:
    def load(**_plan: object) -> RunningLoad:
        raise AssertionError

    with pytest.raises(HarnessError, match=r"set budgets\.ttft_p95_seconds"):
        Ramp(load=load, profile=PROFILE).judged([])


def refused(**headers: str) -> Reply:
    return Reply(status=503, headers=headers)


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (refused(**{"retry-after": "3"}), 3.0),
        (refused(**{"retry-after": "Mon, 30 Nov 2026 21:00:00 GMT"}), 5.0),
        (refused(), None),
        (Reply(status=200, headers={"retry-after": "3"}), None),
    ],
)
def test_only_a_refusal_with_the_word_tells_when_to_return(
    reply: Reply, seconds: float | None
) -> None:
    assert told_to_return_seconds(reply) == seconds


def users(*answers: httpx.Response) -> Users:
    left = list(answers)
    transport = httpx.MockTransport(lambda _request: left.pop(0))
    return Users(endpoint=Endpoint("http://target", "tiny", transport=transport))


def test_who_is_told_to_return_does_and_is_answered() -> None:
    choice = {"message": {"content": "Yes"}, "finish_reason": "stop"}
    headers = {"content-type": "application/json"}
    answer = httpx.Response(200, headers=headers, content=json.dumps({"choices": [choice]}))

    visit = users(httpx.Response(503, headers={"retry-after": "0"}), answer).visit()

    assert ([reply.status for reply in visit.replies], visit.ended.ok) == ([503, 200], True)


def test_who_is_refused_without_a_word_is_lost() -> None:
    visit = users(httpx.Response(503)).visit()

    assert not visit.ended.ok
    assert without_a_word([visit]) == 1
