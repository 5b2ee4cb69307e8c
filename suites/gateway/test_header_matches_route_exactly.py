"""Header matches route OpenAI requests exactly.

A header that picks a version is how testers reach a candidate and how a tenant is kept on its own
engines. One request in a hundred that goes elsewhere is a tester who judges the wrong version, or a
tenant's prompt in foreign hands. A rule for one path alone may take requests away from it, so both
endpoints are asked.
"""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from fixtures.own_backends import HEADER, StartBackends, scripted_engine
from hotfire import Endpoint, Evidence, Level, Reply, Scope, TargetProfile, requirement
from hotfire.measure.counts import upper_bound

pytestmark = requirement(
    "GTW-004",
    Level.MUST,
    __doc__,
    source="https://gateway-api.sigs.k8s.io/reference/spec/#httpheadermatch",
    cncf="networking.ai_inference",
    scope=Scope.CORE,
)

NAMED = "named"
# Other spellings of the name are other values: a match is exact, not a prefix.
UNKNOWN = ("names", "name", "named-2", "NAMED")
REQUESTS = 300
"""With the header, and as many without: none astray bounds the share of them at 1 %."""
UNKNOWN_ROUNDS = 15
CLIENTS = 4


@pytest.fixture
def named_backend(own_backends: StartBackends, profile: TargetProfile) -> None:
    """A backend that only requests with its name in the header are meant for."""
    own_backends({NAMED: scripted_engine(NAMED, profile.engine.model, ttft_seconds=0.001)})


def ask(endpoint: Endpoint, turn: int, name: str | None) -> Reply:
    """Ask one endpoint after the other, every third time over a new connection."""
    headers = {HEADER: name} if name else {}
    asked = endpoint.complete if turn % 4 < 2 else endpoint.chat
    return asked(f"{turn}", max_tokens=1, headers=headers, fresh=turn % 3 == 0)


def went(reply: Reply, name: str | None) -> str:
    """Return where a request went, in one word of a count."""
    if not reply.ok:
        return "nowhere"
    return "right" if (reply.served_by == NAMED) == (name == NAMED) else "astray"


def send(endpoint: Endpoint, names: Sequence[str | None]) -> list[str]:
    """Return where each of these requests went."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        replies = pool.map(lambda each: ask(endpoint, *each), enumerate(names))
        return list(map(went, replies, names))


def test_only_requests_with_the_header_go_to_its_backend(
    endpoint: Endpoint, named_backend: None, evidence: Evidence
) -> None:
    ends = send(endpoint, [NAMED, None] * REQUESTS)
    for kind, counted in (("with", Counter(ends[::2])), ("without", Counter(ends[1::2]))):
        arrived = REQUESTS - counted["nowhere"]
        bound = upper_bound(counted["astray"], arrived) if arrived else 1.0
        evidence.record(f"{kind}_header", counted)
        evidence.record(f"{kind}_header_astray_at_most", round(bound, 4))
    astray, nowhere = ends.count("astray"), ends.count("nowhere")

    assert not astray, f"{astray} of {len(ends)} requests went astray"
    assert nowhere <= len(ends) * 0.01, f"{nowhere} of {len(ends)} requests failed"


def test_unknown_value_takes_the_default_route(
    endpoint: Endpoint, named_backend: None, evidence: Evidence
) -> None:
    ends = send(endpoint, UNKNOWN * UNKNOWN_ROUNDS)
    evidence.record("counted", Counter(ends))

    assert "astray" not in ends, f"{ends.count('astray')} requests of another value went there"
    assert "nowhere" not in ends, f"{ends.count('nowhere')} requests of another value failed"
