"""The API refuses missing, expired and foreign credentials on every route.

A policy is bound to a route, and the next route that somebody adds is open until somebody notices.
Whoever finds it has the models without a key, at the platform's cost and in nobody's name. A token
that is only looked at, not verified, or that lives for ever, comes to the same. So each way in is
asked by everybody who may not, and each of them has to hear 401.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from fixtures.callers import Caller, Callers, secret_of, untold
from fixtures.forgeries import Token, doubt
from fixtures.ways_in import Way, WaysIn
from hotfire import Evidence, Level, Reply, Scope, requirement
from hotfire.errors import HarnessError

pytestmark = requirement(
    "SEC-003",
    Level.MUST,
    __doc__,
    source="https://www.rfc-editor.org/rfc/rfc9110.html#section-15.5.2",
    features={"authentication"},
    scope=Scope.CORE,
)

REFUSED = 401
# Of a token all three can be wrong; a key has neither issuer nor audience.
OF_A_TOKEN, OF_A_KEY = ("expired", "other-issuer", "other-audience"), ("expired",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The ways in, and which of them are opened to somebody who may come in."""

    callers: Callers
    ways_in: WaysIn
    offered: frozenset[Way]

    def knock(self, caller: Caller) -> Iterator[tuple[Way, Reply]]:
        """Yield what is answered to each way to somebody who may not come in."""
        yield from self.callers.ask(caller, self.ways_in.ways, self.callers.profile.engine.model)


def doors_of(callers: Callers, ways_in: WaysIn, evidence: Evidence) -> Doors:
    """Return every way in, and as the negative control which of them who may come in can go.

    Raises:
        HarnessError: nobody comes in at all.
    """
    found = frozenset(callers.offered(ways_in.ways))
    evidence.record("ways", [str(way) for way in ways_in.ways])
    evidence.record("not_of_the_api", ways_in.elsewhere)
    evidence.record("answered_to_valid_credentials", sorted(map(str, found)))
    if not found:
        raise HarnessError(
            f"no valid credential is answered, on {len(ways_in.ways)} ways in; see exchanges.jsonl"
        )
    return Doors(callers=callers, ways_in=ways_in, offered=found)


@pytest.fixture
def doors(callers: Callers, ways_in: WaysIn, evidence: Evidence) -> Doors:
    return doors_of(callers, ways_in, evidence)


def require_refused(doors: Doors, evidence: Evidence, some: Iterable[tuple[str, Caller]]) -> None:
    """Judge what each of some callers is answered, on every way in."""
    seen = [(name, way, reply) for name, caller in some for way, reply in doors.knock(caller)]
    evidence.record("statuses", Counter(f"{name}: {reply.status}" for name, _, reply in seen))
    open_to = [(name, way) for name, way, reply in seen if reply.ok]
    told = [
        (name, way, reply.status)
        for name, way, reply in seen
        if way in doors.offered and not untold(reply) and reply.status != REFUSED
    ]

    assert not open_to, (
        f"{len(open_to)} of {len(seen)} requests without a valid credential were answered, as"
        f" {open_to[0][1]}, credential: {open_to[0][0]}"
    )
    assert not told, (
        f"{len(told)} of {len(seen)} requests without a valid credential were not refused by"
        f" {REFUSED}, as {told[0][1]}, credential: {told[0][0]}, status: {told[0][2]}"
    )
    if dumb := [reply for _, way, reply in seen if way in doors.offered and untold(reply)]:
        raise HarnessError(f"{len(dumb)} of {len(seen)} refusals were none: {dumb[0].why}")
    doors.ways_in.require_all()


def test_nobody_comes_in_without_a_credential(doors: Doors, evidence: Evidence) -> None:
    require_refused(doors, evidence, [("none", doors.callers.nobody())])


def test_forged_credentials_are_refused(doors: Doors, evidence: Evidence) -> None:
    require_refused(doors, evidence, doors.callers.forged().items())


def test_credentials_that_are_over_or_for_others_are_refused(
    doors: Doors, evidence: Evidence
) -> None:
    valid = [secret_of(caller) for caller in doors.callers.valid().values()]
    tokens = [secret for secret in valid if Token.read(secret)]
    declared = doors.callers.refused()
    for why, caller in declared.items():
        if tokens and (doubtful := doubt(why, secret_of(caller), tokens[0])):
            raise HarnessError(f"clients.refused.{why} is something else: {doubtful}")
    evidence.record("declared", sorted(declared))

    require_refused(doors, evidence, declared.items())
    if lacking := [why for why in (OF_A_TOKEN if tokens else OF_A_KEY) if why not in declared]:
        raise HarnessError(
            f"no credential is declared that is wrong in this way: {', '.join(lacking)}; set"
            " clients.refused in the target file"
        )
