"""HTTPRoute weights hold as request share.

A canary at five percent is a promise about risk: ten percent doubles what a bad version can break,
half a percent means that nobody ever measured it. The count is judged by an exact binomial test
whose sample was fixed beforehand.
"""

import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fixtures.stack import CANARY, Stack
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.measure.counts import accepted_counts, power, sample_size
from hotfire.waiting import of_target

pytestmark = requirement(
    "GTW-002",
    Level.MUST,
    __doc__,
    source="https://gateway-api.sigs.k8s.io/guides/traffic-splitting/",
    cncf="networking.ai_inference",
    features={"canary"},
)

BARRIER_HEADER = "x-hotfire-route"
BARRIER_ANSWERS = 30
CLIENTS = 4
ZERO_REQUESTS = 300


@pytest.fixture
def restored_route(stack: Stack) -> Iterator[None]:
    """Put the route back as it was found."""
    former = stack.route()["spec"]["rules"]
    yield
    stack.patch_route({"rules": former})


def set_weight(stack: Stack, endpoint: Endpoint, profile: TargetProfile, percent: int) -> None:
    """Give the canary a weight and wait until only the new route answers."""
    mark = uuid.uuid4().hex
    rule = stack.route()["spec"]["rules"][0]
    others = [each for each in rule["backendRefs"] if each["name"] != CANARY]
    canary = [each for each in rule["backendRefs"] if each["name"] == CANARY]
    if len(others) != 1 or len(canary) != 1:
        raise HarnessError(f"expected a stable backend and one called {CANARY!r} in the route")
    weighted = [{**others[0], "weight": 100 - percent}, {**canary[0], "weight": percent}]
    header = {"set": [{"name": BARRIER_HEADER, "value": mark}]}
    marker = {"type": "ResponseHeaderModifier", "responseHeaderModifier": header}
    stack.patch_route({"rules": [{**rule, "backendRefs": weighted, "filters": [marker]}]})

    def only_new() -> bool:
        replies = [endpoint.chat("?", max_tokens=1, fresh=True) for _ in range(BARRIER_ANSWERS)]
        # A broken answer tells nothing of its route; how many there may be is counted later.
        marks = [reply.headers.get(BARRIER_HEADER) for reply in replies if reply.ok]
        return len(marks) > BARRIER_ANSWERS / 2 and set(marks) == {mark}

    of_target(
        only_new,
        within_seconds=profile.waits.route_live_seconds,
        what=f"{BARRIER_ANSWERS} answers in a row over the new route",
        excused_seconds=stack.blind_seconds,
    ).required()


def ask(endpoint: Endpoint, count: int) -> Counter[str]:
    """Ask that often, every other time over a new connection; return who answered."""

    def one(turn: int) -> Reply:
        return endpoint.chat(f"{turn}", max_tokens=1, fresh=bool(turn % 2))

    with ThreadPoolExecutor(CLIENTS) as pool:
        replies = list(pool.map(one, range(count)))
    return Counter(answered_by(reply) for reply in replies)


def answered_by(reply: Reply) -> str:
    if not reply.ok:
        return "nobody"
    return CANARY if reply.served_by == CANARY else "stable"


def judge(endpoint: Endpoint, evidence: Evidence, *, percent: int, name: str) -> None:
    share, n = percent / 100, sample_size(percent)
    counted = ask(endpoint, n)
    accepted = accepted_counts(n, share)
    evidence.record(name, {"n": n, "counted": counted, "accepted": str(accepted)})
    evidence.record(f"{name}_canary", counted[CANARY])
    evidence.record(f"{name}_power", round(power(n, share, share / 2), 3))

    assert counted["nobody"] <= n * 0.01, f"{counted['nobody']} of {n} requests failed"
    assert counted[CANARY] in accepted, (
        f"{counted[CANARY]} of {n} went to the canary, {percent} % accepts {accepted}"
    )
    # Negative control: the same count must not agree with double (or half) the weight.
    other = share * 2 if share <= 0.25 else share / 2
    if counted[CANARY] in accepted_counts(n, other):
        raise HarnessError(f"{counted[CANARY]} of {n} agrees with {other:.0%} as well")


def test_declared_weight_holds(
    endpoint: Endpoint, profile: TargetProfile, evidence: Evidence
) -> None:
    judge(endpoint, evidence, percent=profile.stack.canary_weight, name="declared")


def test_changed_weight_holds(
    stack: Stack,
    endpoint: Endpoint,
    profile: TargetProfile,
    evidence: Evidence,
    restored_route: None,
) -> None:
    set_weight(stack, endpoint, profile, 50)
    judge(endpoint, evidence, percent=50, name="half")


def test_weight_zero_gets_nothing(
    stack: Stack,
    endpoint: Endpoint,
    profile: TargetProfile,
    evidence: Evidence,
    restored_route: None,
) -> None:
    set_weight(stack, endpoint, profile, 0)
    counted = ask(endpoint, ZERO_REQUESTS)
    evidence.record("counted", counted)

    assert counted["nobody"] <= ZERO_REQUESTS * 0.01, counted
    assert counted[CANARY] == 0, f"{counted[CANARY]} of {ZERO_REQUESTS} at weight 0"
