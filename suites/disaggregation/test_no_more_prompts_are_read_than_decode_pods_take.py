"""Admission keeps the prefill-to-decode ratio and queues the excess.

Prompts are read faster than they are answered. Without a limit every burst fills the memory of
those that read with what nobody takes yet, and all of it falls on the decode pods at once. A ratio
that is rounded before it is compared lets in a few more for each of them, and one that is divided
by the number of decode pods breaks down with the last of them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from fixtures.changes import Changes
from fixtures.disaggregation import Look, Pools, became, is_answered
from fixtures.liveness import Engines
from fixtures.replicas import require_unscaled
from fixtures.stopped import Part
from hotfire import Evidence, Level, Reply, requirement
from hotfire.cluster import Pod, replicated
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass
from hotfire.waiting import eventually, until

pytestmark = requirement(
    "DIS-002",
    Level.MUST,
    __doc__,
    source="https://docs.nvidia.com/dynamo/v1.7.0/knowledge-base/concepts/fault-tolerance/admission-control-architecture",
    features={"disaggregation", "prefill-admission"},
)

READ_SECONDS, MORE_SECONDS = 10.0, 3.0
"""How long as many as are allowed take at most, and how long more are watched for."""
ENDED_SECONDS = 30.0
LATER = {429, 503}
"""What says that it may be tried again."""
AWAY_SECONDS = 10.0


@pytest.fixture
def limit(pools: Pools) -> int:
    """How many prompts may be read and not yet taken, as declared.

    Raises:
        HarnessError: nothing is.
    """
    each = pools.profile.disaggregation.prefills_per_decode
    if each is None:
        raise HarnessError(
            "prefill-admission is claimed; set disaggregation.prefills_per_decode to the ratio"
        )
    return each * len(pools.pods("decode"))


@contextmanager
def nobody_takes(pools: Pools, engines: Engines) -> Iterator[list[Pod]]:
    """Have every decode pod stand still, and yield them: what is read now stays where it is."""
    pods = pools.pods("decode")
    with ExitStack() as standing:
        for pod in pods:
            standing.enter_context(engines.standing(pod))
        yield pods


def test_prompts_beyond_the_ratio_wait_until_one_is_taken(
    pools: Pools, engines: Engines, limit: int, evidence: Evidence
) -> None:
    before, read = pools.look("prefill"), dict[str, int]()
    with ThreadPoolExecutor(2 * limit) as threads:

        def send() -> list[Future[Reply]]:
            return [
                threads.submit(pools.ask, number, deadline_seconds=ENDED_SECONDS)
                for number in range(limit)
            ]

        with nobody_takes(pools, engines) as standing:
            sent = send()
            # Negative control: up to the ratio nothing waits, or nobody could see who does.
            read["as_many_as_allowed"] = read_within(pools, before, limit, READ_SECONDS)
            require_in_rotation(pools, standing)
            sent += send()
            read["twice_as_many"] = read_within(pools, before, limit + 1, MORE_SECONDS)
        replies = [one.result() for one in sent]
    evidence.record("allowed", limit)
    evidence.record("read", read)
    evidence.record("answers", Counter(became(one) for one in replies))
    if unsent := [one for one in replies if one.failure is FailureClass.CONNECT]:
        raise HarnessError(f"{len(unsent)} requests did not reach the gateway: {unsent[0].why}")

    assert read["as_many_as_allowed"] >= limit, (
        f"of {limit} prompts, which may be read at once, {read['as_many_as_allowed']} were"
    )
    assert read["twice_as_many"] <= limit, (
        f"{read['twice_as_many']} prompts were read before one was taken; declared are {limit}"
    )
    hung = [one for one in replies if one.failure is FailureClass.DEADLINE]
    assert not hung, (
        f"{len(hung)} of {len(replies)} requests have not ended after {ENDED_SECONDS:g} s"
    )


def read_within(pools: Pools, before: Look, count: int, within_seconds: float) -> int:
    """Return how many prompts are read once it is so many, or after a while."""
    looks: list[int] = []

    def enough() -> bool:
        looks.append(pools.read_since(before))
        return looks[-1] >= count

    eventually(enough, within_seconds=within_seconds, poll_seconds=0.5)
    return looks[-1]


def require_in_rotation(pools: Pools, standing: Sequence[Pod]) -> None:
    """Make sure that the ratio still counts all decode pods, although they stand still.

    Raises:
        HarnessError: their readiness probes have given one up.
    """
    there = {pod.uid for pod in pools.pods("decode")}
    if left := [pod.name for pod in standing if pod.uid not in there]:
        raise HarnessError(
            f"{', '.join(left)} left the rotation while requests were sent: the ratio counts fewer"
            " decode pods now; run it on a quieter platform, or with a more patient readiness probe"
        )


@pytest.fixture
def decode_pods(pools: Pools, changes: Changes) -> Part:
    """The workload that makes the decode pods.

    Raises:
        HarnessError: somebody else says how many there are.
    """
    pod, cluster = pools.pods("decode")[0], pools.cluster
    workload = replicated(cluster, cluster.get("Pod", pod.namespace, pod.name) or {})
    require_unscaled(cluster, workload)
    return Part(cluster=cluster, profile=pools.profile, changes=changes, workload=workload)


def test_without_a_decode_pod_requests_wait_or_are_told_to(
    pools: Pools, decode_pods: Part, evidence: Evidence
) -> None:
    pools.usual(1)
    decode_pods.stop()
    try:
        reply = pools.ask(0, deadline_seconds=AWAY_SECONDS)
    finally:
        decode_pods.start()
    evidence.record("without_decode_pods", became(reply))
    # Negative control: with them it is answered again.
    until(
        lambda: is_answered(pools.ask(0)),
        within_seconds=pools.profile.waits.route_live_seconds,
        what="an answer, once there are decode pods again",
    )

    waited = reply.failure is FailureClass.DEADLINE
    assert waited or is_answered(reply) or reply.status in LATER, (
        f"without a decode pod a request was neither told to come later nor kept: {became(reply)}"
    )
