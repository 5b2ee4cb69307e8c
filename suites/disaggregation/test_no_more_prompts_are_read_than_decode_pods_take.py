"""Admission keeps the prefill-to-decode ratio and queues the excess.

Prompts are read faster than they are answered. Without a limit every burst fills the memory of
those that read with what nobody takes yet, and all of it falls on the decode pods at once. A ratio
that is rounded before it is compared lets in a few more for each of them, and one that is divided
by the number of decode pods breaks down with the last of them.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from fixtures.changes import Changes
from fixtures.disaggregation import Look, Pools, became, is_answered
from fixtures.liveness import Engines
from fixtures.replicas import require_unscaled
from fixtures.stopped import Part
from hotfire import Evidence, Level, Reply, requirement
from hotfire.cluster import replicated
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass
from hotfire.waiting import eventually, until

pytestmark = requirement(
    "DIS-002",
    Level.MUST,
    __doc__,
    source="https://llm-d.ai/docs/architecture/advanced/disaggregation/operations-vllm",
    features={"disaggregation", "prefill-admission"},
)

READ_SECONDS, QUIET_SECONDS = 10.0, 1.0
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
def nobody_takes(pools: Pools, engines: Engines) -> Iterator[None]:
    """Have every decode pod stand still: what is read now stays where it is."""
    with ExitStack() as standing:
        for pod in pools.pods("decode"):
            standing.enter_context(engines.standing(pod))
        yield


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

        with nobody_takes(pools, engines):
            sent = send()
            # Negative control: up to the ratio nothing waits, or nobody could see who does.
            read["as_many_as_allowed"] = read_at_last(pools, before, limit)
            sent += send()
            read["twice_as_many"] = read_at_last(pools, before, limit + 1)
        replies = [one.result() for one in sent]
    evidence.record("allowed", limit)
    evidence.record("read", read)
    evidence.record("answers", Counter(became(one) for one in replies))

    assert read["as_many_as_allowed"] >= limit, (
        f"of {limit} prompts, which may be read at once, {read['as_many_as_allowed']} were"
    )
    assert read["twice_as_many"] <= limit, (
        f"{read['twice_as_many']} prompts were read before one was taken; declared are {limit}"
    )
    lost = [one for one in replies if not (is_answered(one) or one.status in LATER)]
    assert not lost, f"{len(lost)} of {len(replies)} requests were lost: {became(lost[0])}"


def read_at_last(pools: Pools, before: Look, count: int) -> int:
    """Return how many prompts are read once it is so many, or has stayed for a while."""
    looks = [-1]

    def settled() -> bool:
        looks.append(pools.read_since(before))
        return looks[-1] >= count or (looks[-1] == looks[-2] and looks[-1] > 0)

    eventually(settled, within_seconds=READ_SECONDS, poll_seconds=QUIET_SECONDS)
    return looks[-1]


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
