"""Rate limits hold per tenant over all gateway replicas.

A limit is a price and a promise to the others. Where each replica counts for itself a tenant has it
as often as there are replicas, and more with every one that is added under load, just when it is
to hold. Nobody sees that with one request after the other over one connection: it takes three times
the limit, over new connections, and another tenant who must not notice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pytest

from fixtures.callers import Callers
from hotfire import Evidence, Level, Reply, requirement
from hotfire.clients import Limit, Tenant
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass, Request
from hotfire.traffic.runner.launch import RunningLoad
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
BELOW = 0.5
ASKERS = 8
MARGIN_SECONDS = 60.0
# Requests of another tenant that a machine under load may lose, whatever limits are set.
LOST_SHARE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What became of the requests of one tenant."""

    rows: Sequence[Request]

    @property
    def accepted(self) -> int:
        return sum(not row.failed for row in self.rows)

    @property
    def refused(self) -> int:
        return sum(row.error_class is FailureClass.HTTP_429 for row in self.rows)

    @property
    def lost(self) -> int:
        """Those that were neither answered nor refused."""
        return len(self.rows) - self.accepted - self.refused

    @property
    def seconds(self) -> float:
        """From the first request to the last moment at which one may have been counted."""
        sent = [row.send_ns for row in self.rows if row.send_ns is not None]
        counted = [row.headers_ns or row.end_ns or 0 for row in self.rows]
        return (max(counted) - min(sent)) / 1e9 if sent else 0.0

    def allowed(self, limit: Limit) -> int:
        """Return the most that a limit accepts meanwhile, with what may come at once."""
        return int(limit.requests * (self.seconds / limit.seconds + 1))

    def summary(self) -> dict[str, float]:
        return {
            "requests": len(self.rows),
            "accepted": self.accepted,
            "refused": self.refused,
            "lost": self.lost,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """A tenant with a limit, and another one."""

    name: str
    limit: Limit
    tenant: Tenant
    other: str
    beside: Tenant

    @property
    def rate_per_second(self) -> float:
        return self.limit.requests / self.limit.seconds


def neighbours_of(callers: Callers) -> Neighbours:
    """Return the tenant whose limit is told for the shortest time, and one beside it.

    Raises:
        HarnessError: there is no tenant with a limit, or no other one.
    """
    tenants = callers.tenants()
    limits = {name: one.limit for name, one in tenants.items() if one.limit is not None}
    if not limits or len(tenants) < 2:
        raise HarnessError("it takes a tenant with a limit and another one; set clients.tenants")
    name = min(limits, key=lambda each: limits[each].seconds)
    # Rather one without a limit: it says nothing of its own then.
    other = min((each for each in tenants if each != name), key=lambda each: each in limits)
    return Neighbours(
        name=name,
        limit=limits[name],
        tenant=tenants[name],
        other=other,
        beside=tenants[other],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """Sends in the name of tenants, every request over a new connection."""

    callers: Callers
    load: Callable[..., RunningLoad]

    def start(self, name: str, rate_per_second: float, seconds: float) -> RunningLoad:
        """Have a tenant ask for one token of its first model, again and again."""
        return self.load(
            name=f"SEC-005-{name}",
            caller=self.callers.tenant(name),
            model=self._model(name),
            process="constant",
            rate_per_second=rate_per_second,
            duration_seconds=seconds,
            connection="fresh",
            max_tokens=1,
        )

    def ask(self, name: str) -> list[Reply]:
        """Return answers to a few requests of a tenant, to be read."""
        with self.callers.client(self.callers.tenant(name)) as client:
            ask = partial(client.chat, "?", max_tokens=1, model=self._model(name), fresh=True)
            return [ask() for _ in range(ASKERS)]

    def gentle_rate(self, tenant: Tenant) -> float:
        """Return the rate at which nobody is in anybody's way."""
        rated = self.callers.profile.load.rate_per_second
        own = tenant.limit.requests / tenant.limit.seconds if tenant.limit else rated
        return BELOW * min(rated, own)

    def _model(self, name: str) -> str:
        models = self.callers.tenants()[name].models
        return models[0] if models else self.callers.profile.engine.model


def ended(running: RunningLoad, seconds: float) -> Counted:
    """Return what became of a load, once it has ended."""
    running.wait_finished(within_seconds=seconds + MARGIN_SECONDS).check()
    return Counted(rows=running.rows())


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


@pytest.fixture
def neighbours(callers: Callers) -> Neighbours:
    return neighbours_of(callers)


@pytest.fixture
def loads(callers: Callers, load: Callable[..., RunningLoad]) -> Loads:
    return Loads(callers=callers, load=load)


def test_three_times_the_limit_is_kept_to_it(
    neighbours: Neighbours, loads: Loads, evidence: Evidence
) -> None:
    name, limit, rate = neighbours.name, neighbours.limit, neighbours.rate_per_second
    seconds = WINDOWS * limit.seconds
    beside = loads.start(neighbours.other, loads.gentle_rate(neighbours.beside), seconds)
    surge = loads.start(name, TIMES_THE_LIMIT * rate, seconds)
    eventually(lambda: Counted(rows=surge.rows()).refused, within_seconds=seconds)
    replies = loads.ask(name)
    counted, others = ended(surge, seconds), ended(beside, seconds)
    # Negative control: it is the limit that refuses, and below it nobody is.
    pause(limit.seconds, why="the tenant has its whole limit again")
    below = ended(loads.start(name, BELOW * rate, limit.seconds), limit.seconds)
    accepted = counted.accepted + sum(reply.ok for reply in replies)
    allowed = counted.allowed(limit)
    evidence.record("limit", {"tenant": name, "accepted_at_most": allowed, "accepted": accepted})
    evidence.record("at_three_times_the_limit", counted.summary())
    evidence.record("another_tenant", {"tenant": neighbours.other, **others.summary()})
    evidence.record("below_the_limit", below.summary())
    evidence.record("refusals", [reply.headers.get("retry-after") for reply in replies])

    assert accepted <= allowed, (
        f"{accepted} requests of {name} were accepted in {counted.seconds:.1f} s, where"
        f" {limit.requests} in {limit.seconds:g} s are at most {allowed}"
    )
    require_whole(counted, name)
    require_again(replies)
    assert not others.refused, (
        f"{others.refused} of {len(others.rows)} requests of {neighbours.other} were refused"
        f" while {name} was over its limit"
    )
    require_whole(others, neighbours.other)
    assert not below.refused, (
        f"{below.refused} of {len(below.rows)} requests of {name} were refused, at half its limit"
    )


def require_whole(counted: Counted, name: str) -> None:
    """Judge that requests of a tenant are answered or refused, and none is lost."""
    assert counted.lost <= LOST_SHARE * len(counted.rows), (
        f"{counted.lost} of {len(counted.rows)} of {name} were neither answered nor refused"
    )
