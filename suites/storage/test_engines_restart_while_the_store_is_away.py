"""Engines run on and restart from cache while the model store is away.

A store that every start asks is a single point of failure of the whole fleet: it needs no outage of
an hour, a slow afternoon will do, and each engine that is restarted meanwhile is lost until the end
of it.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address

import pytest

from fixtures.changes import Changes
from fixtures.model_filler import Filler, StartFilled
from fixtures.replicas import newcomer, one_more_replica, start_seconds
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Endpoint, Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient, entry_id
from hotfire.cluster import Cluster, Pod
from hotfire.errors import HarnessError
from hotfire.waiting import eventually, of_target

pytestmark = requirement(
    "STO-004",
    Level.MUST,
    __doc__,
    source="https://sre.google/sre-book/addressing-cascading-failures/",
)

REQUESTS = 20
TOKENS = 4
COLD = "cold"
# A store that answers has given the smallest model by then.
COLD_SECONDS = 8.0
# On top of a former start.
MARGIN_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The engines, with one more than usual, so that every node that may have one is warm."""

    cluster: Cluster
    stack: Stack
    container: str

    def serving(self) -> list[Pod]:
        return [pod for pod in self.stack.engines() if pod.serving]

    def longest_start(self) -> float:
        found = (self.cluster.get("Pod", p.namespace, p.name) for p in self.serving())
        return max(start_seconds(each, self.container) for each in found if each)

    def restarted(self, pod: Pod) -> Pod:
        """Delete an engine; return the one that is made for it."""
        before = {each.uid for each in self.stack.engines()}
        self.cluster.delete("Pod", pod.namespace, pod.name, uid=pod.uid, grace_seconds=1)
        return newcomer(self.stack, self.cluster, before).required()[0]

    def is_ready(self, pod: Pod) -> bool:
        now = self.cluster.pod(pod.namespace, pod.name)
        return bool(now and now.ready)


@pytest.fixture
def fleet(
    cluster: Cluster, stack: Stack, changes: Changes, profile: TargetProfile
) -> Iterator[Fleet]:
    found = Fleet(cluster=cluster, stack=stack, container=profile.engine.container)
    with one_more_replica(stack, cluster, changes) as new:
        if not new:
            raise HarnessError(f"{new}; a warm start needs a free accelerator: free one")
        stack.wait_ready()
        yield found


@pytest.fixture
def store_away(fleet: Fleet, filler: Filler, agent: AgentClient) -> Iterator[None]:
    """No node that has an engine reaches the store, for the length of the case."""
    host, port = filler.store()
    try:
        address = str(ip_address(host))
    except ValueError as error:
        raise HarnessError(f"the store is named {host}; only an address can be blocked") from error
    with ExitStack() as healing:
        for node in {pod.node for pod in fleet.serving()}:
            entry = entry_id("store-away")
            healing.callback(agent.heal, node, entry)
            agent.fire(node, "net.block", entry, **{"and": [address], "port": port})
        yield


def test_warm_engine_restarts_and_nobody_notices(
    endpoint: Endpoint,
    fleet: Fleet,
    scratch: Scratch,
    starting_cold: None,
    evidence: Evidence,
) -> None:
    warm, limit = fleet.serving(), fleet.longest_start() + MARGIN_SECONDS
    replies = [endpoint.chat("?", max_tokens=TOKENS, stream=True) for _ in range(REQUESTS)]
    broken = [reply.why for reply in replies if not reply.ok]
    new = fleet.restarted(warm[-1])
    ready = of_target(
        lambda: fleet.is_ready(new),
        within_seconds=limit,
        what=f"{new.name} Ready from the cache of {new.node}",
        excused_seconds=fleet.cluster.silent_seconds,
    )
    cold = eventually(lambda: scratch.get(COLD).over, within_seconds=COLD_SECONDS)
    evidence.record("requests", len(replies))
    evidence.record("broken", broken)
    evidence.record("restarted", {"pod": new.name, "node": new.node, "limit_seconds": limit})
    evidence.record("cold_start_ended", cold)

    # Negative control: the store is away, and who has nothing yet waits for it.
    if cold:
        raise HarnessError("a cold cache was filled: the store is not away")
    assert not broken, f"{len(broken)} of {REQUESTS} requests failed without the store: {broken[0]}"
    if new.node not in {pod.node for pod in warm}:
        raise HarnessError(f"{new.name} was put on {new.node}, which had no engine before")
    assert ready, f"{ready}; its node had the model, and the store is away"


@pytest.fixture
def starting_cold(
    store_away: None, fleet: Fleet, filler: Filler, start_filled: StartFilled
) -> None:
    """A start of ours on an engine's node, with an empty cache."""
    node = fleet.serving()[0].node
    start_filled(COLD, init=[filler.copy("fill")], argv=["true"], node=node)
