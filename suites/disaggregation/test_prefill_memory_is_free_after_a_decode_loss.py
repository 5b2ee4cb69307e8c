"""Losing a decode worker frees prefill memory and resolves its requests in time.

What was read for a decode pod is kept until it is taken. Who was to take it is gone, and says
nothing: only a time limit frees the memory, and where that is as long as eight minutes, a few lost
pods fill the cache of those that read for all the others.
"""

import time

import pytest

from fixtures.decode_loss import DecodeLoss
from fixtures.disaggregation import Pools, is_answered
from hotfire import Evidence, Level, requirement
from hotfire.errors import HarnessError
from hotfire.waiting import of_target, until

pytestmark = requirement(
    "DIS-003",
    Level.SHOULD,
    __doc__,
    source="https://docs.vllm.ai/en/latest/design/nixl_kv_cache_lease/",
    features={"disaggregation"},
)

REST_SHARE = 0.1
"""Of what was kept; less is other people's."""
IDLE_SECONDS = 20.0
# What a request waits for until the loss is not counted.
BEFORE_SECONDS = 20.0


@pytest.fixture
def idle_use(pools: Pools) -> float:
    """Which part of the KV cache is in use in all prefill pods while they read nothing.

    Raises:
        HarnessError: they never do.
    """
    looks = [kv_use(pools)]

    def at_rest() -> bool:
        looks.append(kv_use(pools))
        return looks[-1] == looks[-2]

    until(
        at_rest,
        within_seconds=IDLE_SECONDS,
        what="prefill pods whose KV cache stays as it is",
        poll_seconds=1.0,
    )
    return looks[-1]


def test_what_a_lost_pod_was_to_take_is_free_in_time(
    pools: Pools, decode_loss: DecodeLoss, idle_use: float, evidence: Evidence
) -> None:
    limit, seen = pools.profile.disaggregation.loss_seconds, list[float]()
    course = decode_loss.carried_out(
        deadline_seconds=limit + BEFORE_SECONDS, while_waiting=lambda: seen.append(kv_use(pools))
    )
    kept = seen[0] - idle_use
    evidence.record("kv_use", {"idle": idle_use, "while_requests_wait": seen[0]})
    # Negative control: what is kept is seen, or nobody could see that it is free.
    if kept <= 0:
        raise HarnessError(
            f"{len(course.caught)} prompts are read and wait, and the KV caches of prefill pods"
            f" are no fuller than before, {idle_use:.4f} in all: what they keep is not told"
        )
    if broken := [one for one in course.others if not is_answered(one)]:
        raise HarnessError(f"before the loss a request failed that did not wait: {broken[0].why}")
    freed = of_target(
        lambda: kv_use(pools) <= idle_use + REST_SHARE * kept,
        within_seconds=max(0.0, course.lost_at + limit - time.monotonic()),
        what="the KV caches of prefill pods as full as before",
        poll_seconds=0.5,
        excused_seconds=pools.cluster.silent_seconds,
    )
    evidence.record("freed_by_seconds", round(time.monotonic() - course.lost_at, 2))
    evidence.record("resolved_seconds", round(course.resolved_seconds, 2))

    assert course.resolved_seconds <= limit, (
        f"{course.resolved_seconds:.1f} s after the loss of a decode pod its last request ended;"
        f" declared are {limit:g} s"
    )
    assert freed, (
        f"{limit:g} s after the loss of a decode pod prefill pods still keep what it was to take:"
        f" {kv_use(pools):.4f} of their KV caches in all, {idle_use:.4f} before"
    )


def kv_use(pools: Pools) -> float:
    """Return which part of the KV cache is in use, summed over all prefill pods.

    Raises:
        HarnessError: one of them does not tell.
    """
    series = pools.spoken.series("kv_use")
    told = [
        page.total(series.name, **series.labels)
        for page in pools.look("prefill")["prefill"].values()
    ]
    known = [one for one in told if one is not None]
    if len(known) < len(told):
        raise HarnessError(f"{len(told) - len(known)} metrics pages of prefill pods lack {series}")
    return sum(known)
