"""A slow retriever is visible as such.

A slow retriever crashes nothing: answers only come later, and whoever sees nothing but their
latency looks for the cause in the model, which is the dearest place to look. Metrics have to tell
whom an answer waited for.
"""

from dataclasses import asdict

import pytest

from fixtures.rag_hops import Hops, Spent
from hotfire import Evidence, Level, requirement
from hotfire.errors import HarnessError
from hotfire.rag import Hop

pytestmark = requirement(
    "RAG-001",
    Level.MUST,
    __doc__,
    source="https://sre.google/sre-book/monitoring-distributed-systems/",
    features={"rag"},
)

LEAST_SHARE = 0.8
LEAST_ADDED_SECONDS = 1.0
"""In all requests together; less was not slowed at all."""
MOST_CHANCE_SHARE = 0.25


@pytest.fixture
def usual(hops: Hops, evidence: Evidence) -> Spent:
    """What requests take, and each hop of theirs, while nothing is slow."""
    hops.application.usual(1)
    found = hops.spent()
    evidence.record("usual_seconds", asdict(found))
    return found


def test_what_a_slow_retriever_adds_is_told_of_it(
    hops: Hops, usual: Spent, evidence: Evidence
) -> None:
    added, chance = added_by(hops, "retriever", usual, evidence)

    judge(added, chance, slow="retriever", other="engine")


def test_what_a_slow_engine_adds_is_told_of_it(
    hops: Hops, usual: Spent, evidence: Evidence
) -> None:
    """Negative control: not everything that takes longer is called the retriever's."""
    added, chance = added_by(hops, "engine", usual, evidence)

    judge(added, chance, slow="engine", other="retriever")


def added_by(hops: Hops, slow: Hop, usual: Spent, evidence: Evidence) -> tuple[Spent, float]:
    """Make a hop slow; return what that added to users and hops, and the seconds of chance in it.

    Raises:
        HarnessError: it added nothing, or little more than chance does.
    """
    pods = hops.application.pods("retriever") if slow == "retriever" else hops.an_engine()
    added = hops.spent(pods).added_to(usual)
    chance = abs(hops.spent().added_to(usual).users_seconds)
    evidence.record("added_seconds", asdict(added))
    evidence.record("chance_seconds", chance)
    if added.users_seconds < LEAST_ADDED_SECONDS:
        raise HarnessError(
            f"with a {slow} that stood still requests took {added.users_seconds:.2f} s more in all:"
            " it was not asked, or answers without it"
        )
    if chance > MOST_CHANCE_SHARE * added.users_seconds:
        raise HarnessError(
            f"with nothing slow as many requests took {chance:.2f} s more or less another time, too"
            f" much beside {added.users_seconds:.2f} s; run it on a quieter platform"
        )
    return added, chance


def judge(added: Spent, chance_seconds: float, *, slow: Hop, other: Hop) -> None:
    """Fail the target where its metrics do not tell whom the added time was spent on.

    What chance adds may have been spent anywhere: it speaks for the target.
    """
    untold = [hop for hop in (slow, other) if added.hops_seconds[hop] is None]
    assert not untold, f"the API's metrics page has no such histogram: {', '.join(untold)}"
    what = f"of {added.users_seconds:.2f} s that a slow {slow} added"
    chance = chance_seconds / added.users_seconds
    share, blamed = added.share(slow), added.share(other)
    assert share + chance >= LEAST_SHARE, f"{what} {share:.0%} are told of it"
    assert blamed - chance <= 1 - LEAST_SHARE, f"{what} {blamed:.0%} are told of the {other}"
