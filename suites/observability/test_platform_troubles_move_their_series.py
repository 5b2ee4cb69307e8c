"""Trouble of the platform is exported: pods that wait, restarts, losses, sessions, API and etcd.

What users feel begins below the engines: a pod that finds no place, a path that flaps, a database
that is slow. Where no series tells of it, the search starts at the model and ends hours later.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from fixtures.fabric import Fabric
from fixtures.replicas import kill_container
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient, entry_id
from hotfire.errors import HarnessError, RollbackFailed
from hotfire.prometheus import Prometheus
from hotfire.waiting import eventually

pytestmark = requirement(
    "OBS-004",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/reference/instrumentation/metrics/",
    features={"metrics-store"},
)

# Of each signal the expressions of exporters that are known to tell it; the first that has a value.
PLATFORM = {
    "pending pods": ("sum(scheduler_pending_pods)", 'sum(kube_pod_status_phase{phase="Pending"})'),
    "scheduling failures": (
        'sum(scheduler_schedule_attempts_total{result="unschedulable"})',
        "sum(kube_pod_status_unschedulable)",
    ),
    "API latency": ("sum(apiserver_request_duration_seconds_count)",),
    "retransmits": ("sum(node_netstat_Tcp_RetransSegs)",),
}
SESSIONS = {
    "BFD sessions": ("sum(bird_bfd_session_up)", "sum(frr_bfd_peer_status)"),
    "BGP sessions": ('sum(bird_protocol_up{proto="BGP"})', "sum(frr_bgp_peer_state)"),
}
# A counter that is there only once something was counted.
APPEARS = "scheduling failures"
# Nobody loses a packet on purpose, or ends a database: these must be there.
STAND = {
    "packet drops": ("sum(node_network_receive_drop_total)",),
    "etcd health": ("sum(etcd_server_has_leader)",),
}
STARTS = (
    'max(container_start_time_seconds{{namespace="{0}",pod="{1}",container="probe"}})',
    'max(kube_pod_container_status_restarts_total{{namespace="{0}",pod="{1}"}})',
)
RESTARTS, UNTOUCHED = "restarts", "untouched"
IDLE = ["sleep", "600"]
# More than any node has.
TOO_MANY = 999
# Where nothing tells it; the longest that is usual.
INTERVAL_SECONDS, SLACK_SECONDS = 30.0, 10.0

Values = Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something of each kind that goes wrong, and what Prometheus tells of it."""

    server: Prometheus
    scratch: Scratch
    agent: AgentClient
    signals: Mapping[str, tuple[str, ...]]

    def read(self) -> dict[str, float | None]:
        """Return the value of each signal; None: no series tells it."""
        return {name: self._first(each) for name, each in self.signals.items()}

    def _first(self, expressions: tuple[str, ...]) -> float | None:
        found = (self.server.total(each) for each in expressions)
        return next((value for value in found if value is not None), None)

    def interval_seconds(self) -> float:
        """Return twice the longest interval in which what tells of the signals is read."""
        known = [one.interval_seconds for one in self.server.targets() if one.interval_seconds]
        return max(known, default=INTERVAL_SECONDS)

    @contextmanager
    def caused(self, fabric: Fabric | None) -> Iterator[None]:
        """Cause it for the length of the block: a pod too large, a restart, a silent uplink."""
        self.scratch.pod("too-large", argv=IDLE, gpus=TOO_MANY)
        kill_container(self.agent, self.scratch.get(RESTARTS), "probe")
        if fabric is None:
            yield
            return
        entry, node = entry_id("signals"), fabric.nodes[-1].name
        self.agent.fire(node, "link.silent_loss", entry, link=fabric.uplinks[0])
        try:
            yield
        finally:
            if problems := self.agent.heal(node, entry):
                raise RollbackFailed("; ".join(problems))


@pytest.fixture
def wired(request: pytest.FixtureRequest, profile: TargetProfile) -> Fabric | None:
    """The wiring, where the target says that it has two uplinks and a routing daemon."""
    if profile.fabric.routing is None or "redundant-uplinks" not in profile.claims:
        return None
    found: Fabric = request.getfixturevalue("fabric")
    return found


@pytest.fixture
def trouble(
    prometheus: Prometheus | None, scratch: Scratch, agent: AgentClient, wired: Fabric | None
) -> Trouble:
    """What may be caused, once Prometheus knows the pods that it will happen to."""
    if prometheus is None:
        raise HarnessError("metrics-store is claimed, and the target file has no prometheus_url")
    names = (RESTARTS, UNTOUCHED)
    for name in names:
        scratch.pod(name, argv=IDLE, spec_besides={"restartPolicy": "Always"})
    for name in names:
        scratch.wait_phase(name, "Running")
    starts = {n: tuple(e.format(scratch.namespace, n) for e in STARTS) for n in names}
    signals = {**PLATFORM, **STAND, **starts, **(SESSIONS if wired else {})}
    made = Trouble(server=prometheus, scratch=scratch, agent=agent, signals=signals)
    eventually(
        lambda: all(made.read()[name] is not None for name in names),
        within_seconds=2 * made.interval_seconds() + SLACK_SECONDS,
        poll_seconds=1.0,
    )
    return made


def test_each_trouble_moves_its_series(
    trouble: Trouble, wired: Fabric | None, evidence: Evidence
) -> None:
    before = trouble.read()
    evidence.record("before", before)
    absent = sorted({name for name, value in before.items() if value is None} - {APPEARS})
    assert not absent, f"no series tells of {', '.join(absent)}"
    to_move = sorted(set(before) - set(STAND) - {UNTOUCHED})
    seen: set[str] = set()

    def all_moved() -> bool:
        now = trouble.read()
        seen.update(name for name in to_move if now[name] not in (None, before[name]))
        return seen.issuperset(to_move)

    with trouble.caused(wired):
        eventually(
            all_moved,
            within_seconds=2 * trouble.interval_seconds() + SLACK_SECONDS,
            poll_seconds=1.0,
        )
    after = trouble.read()
    evidence.record("moved", sorted(seen))
    evidence.record("after", after)

    still = sorted(set(to_move) - seen)
    assert not still, f"there was trouble, and what tells of {', '.join(still)} did not move"
    # Negative control: of a pod to which nothing happened nothing is told.
    if after[UNTOUCHED] != before[UNTOUCHED]:
        raise HarnessError(f"an untouched pod: {before[UNTOUCHED]} and then {after[UNTOUCHED]}")
