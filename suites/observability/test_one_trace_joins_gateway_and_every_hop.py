"""One trace joins gateway, engine, retriever and vector store.

An answer that is late was late somewhere. Where each part tells its spans under an id of its own,
or a gateway does not hand on whose request it was, there is no telling which of five teams to wake;
where they are joined, the hop that waited is the one whose span is long.
"""

import secrets
from dataclasses import dataclass
from statistics import median

import pytest

from fixtures.traces import Asked, Trace, Tracing
from hotfire import Evidence, Level, requirement
from hotfire.errors import HarnessError
from hotfire.rag import TracedHop

pytestmark = requirement(
    "OBS-006",
    Level.SHOULD,
    __doc__,
    source="https://www.w3.org/TR/trace-context/",
    features={"rag", "rag-traces"},
)

ROUNDS = 3
LEAST_ADDED_SECONDS = 0.4
LEAST_SHARE = 0.8
MOST_CHANCE_SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What a slow hop added to a request, by its user's clock and by the spans of each hop."""

    users_seconds: float
    hops_seconds: dict[TracedHop, float]
    chance_seconds: float
    """How far a hop's own time lies apart from one request to the next with nothing slow."""


def test_every_hop_is_in_the_trace_that_the_client_began(
    tracing: Tracing, evidence: Evidence
) -> None:
    asked = tracing.ask()
    found, other = tracing.found(asked), tracing.trace(secrets.token_hex(16))
    evidence.record("services", sorted({one.service for one in found.spans}))

    # Negative control: a trace that nobody began is not told.
    if other.spans:
        raise HarnessError("the store tells spans of a trace that nobody has begun")
    assert found.spans, (
        "nothing is told under the trace that a client began: its traceparent comes to nobody"
    )
    assert not found.missing(), f"no span of the trace is of {', '.join(found.missing())}"
    loose = found.loose(asked.span_id)
    assert not loose, f"the spans of {', '.join(loose)} hang on none of the trace's"


@pytest.mark.parametrize("slow", ["retriever", "vector-store"])
def test_a_slow_hop_is_told_by_its_own_span(
    tracing: Tracing, slow: TracedHop, evidence: Evidence
) -> None:
    usual = [tracing.ask() for _ in range(ROUNDS)]
    late = tracing.ask_while_slow("retriever" if slow == "retriever" else "vector-store")
    before = [(one, whole(tracing, one)) for one in usual]
    added = added_to(before, late, whole(tracing, late))
    evidence.record("added", {hop: round(s, 3) for hop, s in added.hops_seconds.items()})
    evidence.record("users_waited_seconds", round(added.users_seconds, 3))
    evidence.record("chance_seconds", round(added.chance_seconds, 3))

    judge(added, slow)


def whole(tracing: Tracing, asked: Asked) -> Trace:
    """Return a trace that every hop is in.

    Raises:
        HarnessError: it lacks some.
    """
    found = tracing.found(asked)
    if missing := found.missing():
        raise HarnessError(f"nobody knows how long {', '.join(missing)} took: there is no span")
    return found


def added_to(before: list[tuple[Asked, Trace]], late: Asked, slow: Trace) -> Added:
    """Return what was added to a request, against the middle of some before."""
    usual = [trace.own_seconds() for _, trace in before]
    now = slow.own_seconds()
    waited = late.reply.seconds - median(asked.reply.seconds for asked, _ in before)
    spreads = [max(one[hop] for one in usual) - min(one[hop] for one in usual) for hop in now]
    return Added(
        users_seconds=waited,
        hops_seconds={hop: now[hop] - median(one[hop] for one in usual) for hop in now},
        chance_seconds=max(spreads),
    )


def judge(added: Added, slow: TracedHop) -> None:
    """Fail the target where the added time is not told of the hop that was slow, or of others.

    What chance adds may have been spent anywhere: it speaks for the target.

    Raises:
        HarnessError: nothing was slow, or everything was now and then.
    """
    waited, chance = added.users_seconds, added.chance_seconds
    if waited < LEAST_ADDED_SECONDS:
        raise HarnessError(f"with a {slow} that stood still an answer took {waited:.2f} s more")
    if chance > MOST_CHANCE_SHARE * waited:
        raise HarnessError(
            f"with nothing slow a hop took {chance:.2f} s more one time than another, too much"
            f" beside {waited:.2f} s; run it on a quieter platform"
        )
    told = added.hops_seconds[slow]
    what = f"of {waited:.2f} s that a slow {slow} added"
    assert told + chance >= LEAST_SHARE * waited, f"{what} {told:.2f} s are told of it"
    most = (1 - LEAST_SHARE) * waited + chance
    others = {hop: s for hop, s in added.hops_seconds.items() if hop != slow and s > most}
    blamed = ", ".join(f"{seconds:.2f} s of the {hop}" for hop, seconds in others.items())
    assert not others, f"{what} there are told {blamed}"
