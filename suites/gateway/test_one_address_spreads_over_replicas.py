"""One stable Gateway address spreads load over equal replicas while pods come and go.

Clients know one address. If long-lived connections or a hash pin them to one replica, the others
are paid for and idle, and that one's queue is everybody's latency. What counts is what each replica
answered, by its own word; a pod of the engines is replaced meanwhile. That gateway pods go is a
fault, and tried as one.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

import pytest

from fixtures.dialects import Spoken
from fixtures.engine_metrics import ASKER, EngineMetrics
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.measure.counts import ALPHA, AcceptedCounts, accepted_counts
from hotfire.waiting import until

pytestmark = requirement(
    "GTW-001",
    Level.MUST,
    __doc__,
    source="https://gateway-api.sigs.k8s.io/reference/spec/#gatewaystatusaddress",
)

API = "gateway.networking.k8s.io/v1"
REQUESTS = 400
"""Of two replicas one that gets 35 % is noticed with a power of 0.99."""
CLIENTS = 4
PINNED_REQUESTS = 60
PINNED = """
import http.client, json, sys
address, model, count = sys.argv[1:]
body = json.dumps({"model": model, "prompt": "x", "max_tokens": 1}).encode()
for _ in range(int(count)):
    pod = http.client.HTTPConnection(address, timeout=5)
    pod.request("POST", "/v1/completions", body, {"content-type": "application/json"})
    pod.getresponse().read()
"""


@dataclass(frozen=True, slots=True)
class Spread:
    """What each replica answered, and how much of it may be by chance."""

    answered: Mapping[str, int]

    @property
    def accepted(self) -> AcceptedCounts:
        """What an equal share comes to, the chance of a false alarm shared by all replicas."""
        total, replicas = sum(self.answered.values()), len(self.answered)
        return accepted_counts(max(1, total), 1 / replicas, alpha=ALPHA / replicas)

    @property
    def beyond(self) -> dict[str, int]:
        return {name: n for name, n in self.answered.items() if n not in self.accepted}

    def __str__(self) -> str:
        return f"{dict(self.answered)}, of each {self.accepted}"


@dataclass(frozen=True, slots=True)
class Counting:
    """Counts what each engine answers, by its own word."""

    engine_metrics: EngineMetrics
    spoken: Spoken

    def totals(self) -> dict[str, float]:
        """Return what each engine has answered so far.

        Raises:
            HarnessError: one does not tell, or there are fewer than two to spread over.
        """
        pages, counter = self.engine_metrics().items(), self.spoken.name("requests")
        told = {name: page.total(counter) for name, page in pages}
        known = {name: total for name, total in told.items() if total is not None}
        if len(known) < len(told) or len(known) < 2:
            raise HarnessError(f"two engines that tell what they answered are needed, not {told}")
        return known

    @contextmanager
    def spread(self) -> Iterator[dict[str, int]]:
        """Yield what each engine answers within the block; it is known at its end."""
        counted: dict[str, int] = {}
        before = self.totals()
        yield counted
        after = self.totals()
        counted |= {name: round(after[name] - before.get(name, 0.0)) for name in after}


def send(endpoint: Endpoint, count: int) -> list[Reply]:
    """Ask that often, every other time over a new connection."""

    def one(turn: int) -> Reply:
        return endpoint.chat(f"{turn}", max_tokens=1, fresh=bool(turn % 2))

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, range(count)))


@pytest.fixture
def counting(engine_metrics: EngineMetrics, spoken: Spoken) -> Counting:
    return Counting(engine_metrics, spoken)


def test_each_replica_gets_its_share(
    endpoint: Endpoint,
    counting: Counting,
    scratch: Scratch,
    stack: Stack,
    profile: TargetProfile,
    evidence: Evidence,
) -> None:
    with counting.spread() as counted:
        replies = send(endpoint, REQUESTS)
    spread, lost = Spread(counted), [reply for reply in replies if not reply.ok]
    evidence.record("spread", str(spread))
    evidence.record("lost", len(lost))

    assert len(lost) <= REQUESTS * 0.01, f"{len(lost)} of {REQUESTS} requests failed"
    assert not spread.beyond, f"replicas of one model are not served alike: {spread}"
    # Negative control: requests to one replica's own address must fall outside.
    pod = next(pod for pod in stack.engines() if pod.ready)
    address = f"{pod.ip}:{profile.engine.port}"
    argv = ["python3", "-c", PINNED, address, profile.engine.model, str(PINNED_REQUESTS)]
    with counting.spread() as counted:
        scratch.exec(ASKER, argv)
    evidence.record("pinned", str(Spread(counted)))
    if not Spread(counted).beyond:
        raise HarnessError(f"{PINNED_REQUESTS} requests to {pod.name} alone came as {counted}")


def test_address_stays_and_answers_while_an_engine_is_replaced(
    endpoint: Endpoint,
    counting: Counting,
    stack: Stack,
    cluster: Cluster,
    profile: TargetProfile,
    evidence: Evidence,
) -> None:
    before = addresses(stack, cluster)
    over = Event()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(send_until, endpoint, over)
        try:
            replace_one(stack, cluster, profile)
        finally:
            over.set()
        replies = asked.result()
    with counting.spread() as counted:
        send(endpoint, REQUESTS)
    spread, lost = Spread(counted), [reply for reply in replies if not reply.ok]
    evidence.record("addresses", before)
    evidence.record("asked_meanwhile", len(replies))
    evidence.record("lost_meanwhile", [reply.why for reply in lost])
    evidence.record("spread_afterwards", str(spread))

    assert before == addresses(stack, cluster), f"the Gateway's address was {before}"
    most = len(replies) * (profile.budgets.error_ratio or 0.0)
    assert len(lost) <= most, f"{len(lost)} of {len(replies)} requests failed: {lost[0].why}"
    assert not spread.beyond, f"the new replica is not served like the others: {spread}"


def addresses(stack: Stack, cluster: Cluster) -> list[str]:
    """Return the addresses of the Gateway that leads to the engines."""
    route = stack.way_in()
    parent = route["spec"]["parentRefs"][0]
    namespace = parent.get("namespace", route["metadata"]["namespace"])
    found = cluster.get("Gateway", namespace, parent["name"], api_version=API) or {}
    return sorted(one["value"] for one in found.get("status", {}).get("addresses") or ())


def send_until(endpoint: Endpoint, over: Event) -> list[Reply]:
    """Ask again and again until it is over."""
    replies: list[Reply] = []
    while not over.is_set():
        replies += send(endpoint, CLIENTS)
    return replies


def replace_one(stack: Stack, cluster: Cluster, profile: TargetProfile) -> None:
    """Delete an engine with all the time it may take, and wait until another one is Ready."""
    ready = [pod for pod in stack.engines() if pod.ready]
    victim, count = ready[-1], len(ready)
    cluster.delete("Pod", profile.namespace, victim.name, uid=victim.uid)

    def replaced() -> bool:
        pods = [pod for pod in stack.engines() if pod.ready and pod.uid != victim.uid]
        return len(pods) >= count and cluster.pod(profile.namespace, victim.name) is None

    until(
        replaced,
        within_seconds=profile.waits.pod_ready_seconds,
        what=f"another engine Ready and {victim.name} gone",
        excused_seconds=cluster.silent_seconds,
    )
