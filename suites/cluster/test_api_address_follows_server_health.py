"""The API endpoint's address follows server health and answers while one API server is down.

Whatever the address is, a VIP, an anycast route or a load balancer, it leads every client to some
server. Where it goes by the TCP port alone, a server that has lost its etcd keeps its clients and
fails each of their requests. For some seconds servers are stopped; nobody who is served a token
asks them.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import pytest

from fixtures.breaks import Breaks
from fixtures.control_plane import API_SERVER, ETCD, ControlPlane
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Door
from hotfire.errors import HarnessError
from hotfire.waiting import pause, until

pytestmark = requirement(
    "CLU-005",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/reference/using-api/health-checks/",
    features={"control-plane-services", "redundant-control-plane"},
)

# A server that has gone is noticed at once; one that is not ready after a few questions.
WITHIN_SECONDS = {API_SERVER: 3.0, ETCD: 10.0}
ASK_SECONDS = 2.0
MISSED = 1e-4
"""Chance that no question meets the one server that should get none, though it gets its share."""
BACK_SECONDS = 60.0


def questions(servers: int) -> int:
    """Return how many connections meet each of so many servers, but for a small chance."""
    return math.ceil(math.log(MISSED) / math.log(1 - 1 / servers)) if servers > 1 else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What came of many questions over a connection each."""

    asked: int
    troubles: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        first = f": {self.troubles[0]}" if self.troubles else ""
        return f"{len(self.troubles)} of {self.asked} calls failed{first}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The API servers behind one address."""

    names: list[str]
    door: Door
    breaks: Breaks

    def ready(self) -> bool:
        return not self.door.trouble(within_seconds=ASK_SECONDS)

    def answers(self) -> Answers:
        """Return what comes of as many questions as meet every server."""
        told = [
            self.door.trouble(within_seconds=ASK_SECONDS) for _ in range(questions(len(self.names)))
        ]
        return Answers(asked=len(told), troubles=[trouble for trouble in told if trouble])

    @contextmanager
    def without(self, service: str, names: list[str]) -> Iterator[None]:
        """Stop a service of some members; afterwards all servers are back behind the address."""
        self.breaks.stop_service(service, names)
        try:
            yield
        finally:
            self.breaks.undo_all()
        until(
            lambda: not self.answers().troubles,
            within_seconds=BACK_SECONDS,
            what="every call answered again by a server that is ready",
        )


@pytest.fixture
def servers(control_plane: ControlPlane, profile: TargetProfile, breaks: Breaks) -> Servers:
    """Every API server, each of which is ready.

    Raises:
        HarnessError: one is not, before anything is stopped.
    """
    names = control_plane.running(API_SERVER)
    found = Servers(names=names, door=Door.of(profile), breaks=breaks)
    if (before := found.answers()).troubles:
        raise HarnessError(f"with every server running {before}")
    return found


@pytest.mark.parametrize("service", list(WITHIN_SECONDS))
def test_calls_succeed_without_one_server(
    servers: Servers, control_plane: ControlPlane, service: str, evidence: Evidence
) -> None:
    """One server is down; or it listens and is not ready, since etcd beside it is away."""
    assert len(servers.names) > 1, f"there is one API server, {servers.names[0]}"
    [*_, last] = control_plane.running(service)
    with servers.without(service, [last]):
        # One that has just lost its etcd may still say that it is ready.
        pause(WITHIN_SECONDS[service], why="so long it may take until nobody is led there")
        found = servers.answers()
        if found.troubles:
            # A sound server that stood still for a moment answers now.
            found = servers.answers()
    evidence.record("stopped", f"{service} of {last}")
    evidence.record("calls", asdict(found))

    assert not found.troubles, (
        f"{WITHIN_SECONDS[service]:g} s after {service} of {last} ended {found}"
    )


def test_calls_fail_without_any_server(servers: Servers, evidence: Evidence) -> None:
    """Negative control: it is these servers that answer."""
    with servers.without(API_SERVER, servers.names):
        trouble = servers.door.trouble(within_seconds=ASK_SECONDS)
    evidence.record("without_any_server", trouble)

    if not trouble:
        raise HarnessError(f"without {', '.join(servers.names)} somebody says that he is ready")
