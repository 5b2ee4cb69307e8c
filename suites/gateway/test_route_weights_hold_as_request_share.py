"""HTTPRoute weights hold as request share.

A canary at five percent is a promise about risk: ten percent doubles what a bad version can break,
half a percent means that nobody ever measured it. The count is judged by an exact binomial test
whose sample was fixed beforehand.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from fixtures.route_weights import RouteWeights, answered_by
from fixtures.stack import CANARY
from hotfire import Endpoint, Evidence, Level, Reply, Scope, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.measure.counts import accepted_counts, power, sample_size

pytestmark = requirement(
    "GTW-002",
    Level.MUST,
    __doc__,
    source="https://gateway-api.sigs.k8s.io/guides/traffic-splitting/",
    cncf="networking.ai_inference",
    features={"canary"},
    scope=Scope.CORE,
)

CLIENTS = 4
ZERO_REQUESTS = 300


def ask(endpoint: Endpoint, count: int) -> Counter[str]:
    """Ask that often, every other time over a new connection; return who answered."""

    def one(turn: int) -> Reply:
        return endpoint.chat(f"{turn}", max_tokens=1, fresh=bool(turn % 2))

    with ThreadPoolExecutor(CLIENTS) as pool:
        replies = list(pool.map(one, range(count)))
    return Counter(answered_by(reply) for reply in replies)


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
    endpoint: Endpoint, weights: RouteWeights, evidence: Evidence
) -> None:
    weights.follow(50)
    judge(endpoint, evidence, percent=50, name="half")


def test_weight_zero_gets_nothing(
    endpoint: Endpoint, weights: RouteWeights, evidence: Evidence
) -> None:
    weights.follow(0)
    counted = ask(endpoint, ZERO_REQUESTS)
    evidence.record("counted", counted)

    assert counted["nobody"] <= ZERO_REQUESTS * 0.01, counted
    assert counted[CANARY] == 0, f"{counted[CANARY]} of {ZERO_REQUESTS} at weight 0"
