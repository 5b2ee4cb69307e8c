"""Service after each fault equals service before.

Ready is not as good as before: an engine may come back without its cache, behind a route that has
forgotten it, or not at all where the others are enough to look well. Each fault of a run is judged
for it, out of its own record; where a run fires none, one engine is killed under the rated load.
The p95s may be at most a quarter above those before, by bounds that resample whole seconds; what
the target file calls noise is part of the times on both sides. One fault leaves seldom enough
requests to show that: where five or more are fired, each has to have recovered, and all of them
together to show the quarter.
"""

from fixtures.same_service import SameService
from hotfire import Evidence, Level, Verdict, requirement
from hotfire.errors import HarnessError

pytestmark = requirement(
    "SLO-006",
    Level.MUST,
    __doc__,
    source="https://sre.google/sre-book/testing-reliability/",
)


def test_service_is_as_before(since_broken: SameService, evidence: Evidence) -> None:
    verdict, reason = since_broken.concluded()
    evidence.record("budgets", since_broken.document())
    assert verdict is not Verdict.FAILED, reason
    if verdict is not Verdict.PASSED:
        raise HarnessError(reason)
    # Negative control: requests that wait ever since are not served as before.
    late, told = since_broken.had_requests_waited()
    if late is Verdict.PASSED:
        raise HarnessError(f"requests that waited pass for the same: {told}")
