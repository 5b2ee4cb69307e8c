"""Rate limits hold per tenant over all gateway replicas.

A limit is a price and a promise to the others. Where each replica counts for itself a tenant has it
as often as there are replicas, and more with every one that is added under load, just when it is
to hold. Nobody sees that with one request after the other over one connection: it takes three times
the limit, over new connections, and another tenant who must not notice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fixtures.neighbours import BELOW, Counted, Loads, Neighbours, ended
from hotfire import Evidence, Level, Reply, requirement
from hotfire.errors import HarnessError
from hotfire.waiting import eventually, pause

pytestmark = requirement(
    "SEC-005",
    Level.MUST,
    __doc__,
    source="https://www.rfc-editor.org/rfc/rfc6585.html#section-4",
    features={"tenant-limits"},
)

TIMES_THE_LIMIT = 3
WINDOWS = 3
"""How long it lasts, in times of the limit: what comes at once at first weighs less then."""
# Requests of another tenant that a machine under load may lose, whatever limits are set.
LOST_SHARE = 0.02


def require_again(replies: Sequence[Reply]) -> list[Reply]:
    """Return the refusals among some answers; each has to say when to come again.

    Raises:
        HarnessError: there is none to be read.
    """
    refusals = [reply for reply in replies if reply.status == 429]
    bare = [reply for reply in refusals if "retry-after" not in reply.headers]
    assert not bare, f"{len(bare)} of {len(refusals)} refusals do not say when to come again"
    if not refusals:
        raise HarnessError(
            f"none of {len(replies)} requests amid the surge was refused, to be read"
        )
    return refusals


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a tenant and another one were answered."""

    surge: Counted
    """At three times the limit."""
    amid: list[Reply]
    """A few requests more amid that, to be read."""
    others: Counted
    """The other tenant's, meanwhile."""
    below: Counted
    """At half the limit, afterwards."""

    @property
    def accepted(self) -> int:
        return self.surge.accepted + sum(reply.ok for reply in self.amid)

    def tell(self, evidence: Evidence) -> None:
        evidence.record("at_three_times_the_limit", self.surge.summary())
        told = [(reply.status, reply.headers.get("retry-after")) for reply in self.amid]
        evidence.record("answers_amid", told)
        evidence.record("another_tenant", self.others.summary())
        evidence.record("below_the_limit", self.below.summary())


def see(neighbours: Neighbours, loads: Loads) -> Seen:
    """Have a tenant ask for more than its limit beside another one, and then for less.

    Counts are judged, not times: that a busy machine sent late makes no difference.
    """
    name, limit, rate = neighbours.name, neighbours.limit, neighbours.rate_per_second
    lasts = {"duration_seconds": WINDOWS * limit.seconds, "max_tokens": 1}
    beside = loads.start(neighbours.other, loads.gentle_rate(neighbours.beside), **lasts)
    surge = loads.start(name, TIMES_THE_LIMIT * rate, **lasts)
    within_seconds = surge.plan.duration_seconds
    eventually(lambda: Counted(rows=surge.rows()).refused, within_seconds=within_seconds)
    amid = loads.ask(name)
    counted, others = ended(surge)[1], ended(beside)[1]
    pause(limit.seconds, why="the tenant has its whole limit again")
    below = loads.run(name, BELOW * rate, limit.seconds, max_tokens=1)
    return Seen(surge=counted, amid=amid, others=others, below=below)


def test_three_times_the_limit_is_kept_to_it(
    neighbours: Neighbours, loads: Loads, evidence: Evidence
) -> None:
    name, other, limit = neighbours.name, neighbours.other, neighbours.limit
    seen = see(neighbours, loads)
    allowed = seen.surge.allowed(limit)
    evidence.record("tenants", {"with_a_limit": name, "another": other})
    evidence.record("accepted", {"requests": seen.accepted, "at_most": allowed})
    seen.tell(evidence)

    assert seen.accepted <= allowed, (
        f"{seen.accepted} requests of {name} were accepted in {seen.surge.seconds:.1f} s, where"
        f" {limit.requests} in {limit.seconds:g} s are at most {allowed}"
    )
    require_whole(seen.surge, name)
    require_again(seen.amid)
    require_unrefused(seen.others, other, f"while {name} was over its limit")
    require_whole(seen.others, other)
    # Negative control: it is the limit that refuses, and below it nobody is.
    require_unrefused(seen.below, name, "at half its limit")


def require_unrefused(counted: Counted, name: str, when: str) -> None:
    """Judge that nothing of a tenant was refused for a limit."""
    refused = counted.refused
    assert not refused, f"{refused} of {len(counted.rows)} requests of {name} were refused {when}"


def require_whole(counted: Counted, name: str) -> None:
    """Judge that a tenant's requests are answered or refused, as far as they came to somebody.

    Raises:
        HarnessError: many came to nobody, which tells nothing of a limit.
    """
    bearable = LOST_SHARE * len(counted.rows)
    broken = [row for row in counted.lost if row.status is not None]
    assert len(broken) <= bearable, (
        f"{len(broken)} of {len(counted.rows)} of {name} were neither answered nor refused, as"
        f" {broken[0].detail}"
    )
    if len(counted.lost) > bearable:
        why = counted.lost[0].detail
        raise HarnessError(f"{len(counted.lost)} requests of {name} came to nobody: {why}")
