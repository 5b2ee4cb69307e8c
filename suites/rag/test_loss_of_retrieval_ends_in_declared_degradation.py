"""Loss of retriever or vector store ends in the declared degradation within its timeout.

What an answer rests on is away more often than the model. A client without a timeout then makes
every user wait for nothing, and an answer that does not say that it lacks its documents is taken
for one that has them. A part is lost in two ways: it is gone and its address refuses, or it takes
connections and never answers, which only a timeout ends.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from fixtures.rag import Application, Asked, Takeaway
from hotfire import Evidence, Level, requirement
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass

pytestmark = requirement(
    "RAG-002",
    Level.MUST,
    __doc__,
    source="https://sre.google/sre-book/addressing-cascading-failures/",
    features={"rag"},
)

AT_ONCE = 4
SLACK_SECONDS = 2.0
"""What a busy machine may add to the declared time and to what answers take anyway."""
Lost = Literal["retriever", "vector-store"]
How = Literal["standing", "away"]


@pytest.fixture
def within_seconds(application: Application, evidence: Evidence) -> float:
    """How long an answer may take whose context is lost: it waits for that as long as declared.

    Raises:
        HarnessError: the answers carry no context that could be lost.
    """
    application.require_degradation()
    usual = application.usual(AT_ONCE)
    evidence.record("while_all_is_up", Counter(map(str, usual)))
    slowest = max(one.reply.seconds for one in usual)
    return application.rag.context_seconds + slowest + SLACK_SECONDS


@pytest.mark.parametrize("part", ["retriever", "vector-store"])
@pytest.mark.parametrize("how", ["standing", "away"])
def test_answers_say_that_they_lack_their_context(
    application: Application,
    takeaway: Takeaway,
    within_seconds: float,
    evidence: Evidence,
    part: Lost,
    how: How,
) -> None:
    with lost(application, takeaway, part, how):
        asked = application.ask(AT_ONCE, within_seconds=within_seconds)
    evidence.record("answers", Counter(map(str, asked)))
    evidence.record("seconds", sorted(round(one.reply.seconds, 2) for one in asked))
    evidence.record("within_seconds", round(within_seconds, 2))

    judge(asked, f"the {part} is {how}", within_seconds)
    if not any(one.degraded for one in asked):
        raise HarnessError(f"all answers carry their context while the {part} is {how}")


@contextmanager
def lost(app: Application, takeaway: Takeaway, part: Lost, how: How) -> Iterator[None]:
    """Have a part standing still, or away."""
    with takeaway.away(part) if how == "away" else takeaway.standing(app.pods(part)):
        yield


def judge(asked: list[Asked], while_: str, within_seconds: float) -> None:
    """Fail the target where an answer hangs, or lacks its context and does not say so."""
    hung = [one for one in asked if one.reply.failure is FailureClass.DEADLINE]
    assert not hung, (
        f"while {while_} {len(hung)} of {len(asked)} answers have not ended after"
        f" {within_seconds:.1f} s"
    )
    silent = [one for one in asked if not (one.degraded or one.with_context)]
    assert not silent, f"while {while_} {len(silent)} of {len(asked)} answers: {silent[0]}"
