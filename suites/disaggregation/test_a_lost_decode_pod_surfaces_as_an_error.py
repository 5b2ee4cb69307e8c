"""A failed decode or KV transfer surfaces as an error.

Between the two halves of the work a request is in nobody's hands: one pod has read it and is done,
the other has not begun. Where the other one dies just then, the answer that never came is easily
taken for one that is empty, and a client for which 200 is success stores nothing as its result.
"""

from collections import Counter

from fixtures.decode_loss import DecodeLoss
from fixtures.disaggregation import became, is_answered
from hotfire import Evidence, Level, Reply, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass

pytestmark = requirement(
    "DIS-005",
    Level.MUST,
    __doc__,
    source="https://github.com/vllm-project/vllm-ascend/issues/13165",
    features={"disaggregation"},
)

TOLD = {FailureClass.SSE_ERROR, FailureClass.ABORTED}
"""An error event, or a finish reason that speaks of one."""


def test_requests_of_a_decode_pod_that_dies_fail_aloud(
    decode_loss: DecodeLoss, profile: TargetProfile, evidence: Evidence
) -> None:
    deadline_seconds = profile.load.deadline_seconds
    course = decode_loss.carried_out(deadline_seconds=deadline_seconds)
    caught = [one.reply for one in course.caught]
    evidence.record("caught", Counter(map(became, caught)))
    evidence.record("others", Counter(map(became, course.others)))
    evidence.record("resolved_seconds", round(course.resolved_seconds, 2))
    # Negative control: whom another pair of pods answered nothing happened to.
    if broken := [one for one in course.others if not is_answered(one)]:
        raise HarnessError(f"before the loss a request failed that did not wait: {broken[0].why}")

    hung = [one for one in caught if one.failure is FailureClass.DEADLINE]
    many = f"of {len(caught)} requests whose decode pod died"
    assert not hung, f"{many} {len(hung)} have not ended after {deadline_seconds:g} s"
    silent = [one for one in caught if is_silent(one)]
    assert not silent, f"{many} {len(silent)} ended as if nothing had been: {became(silent[0])}"
    blamed = [one for one in caught if is_blamed_on_the_client(one)]
    assert not blamed, f"{many} {len(blamed)} were told that they asked wrongly: {blamed[0].why}"


def is_silent(reply: Reply) -> bool:
    """Return whether an answer ended as one that succeeded, and is none."""
    ended = reply.error is None and reply.status is not None and 200 <= reply.status < 300
    return ended and not is_answered(reply) and reply.failure not in TOLD


def is_blamed_on_the_client(reply: Reply) -> bool:
    """Return whether a refusal says that the request itself was wrong; nobody tries that again."""
    return reply.status is not None and 400 <= reply.status < 500 and reply.status != 429
