"""The shutdown settings fit together.

Three settings decide whether a user's answer survives an update: how long an engine goes on serving
until nobody sends to it any more (preStop), how long it then lets running answers end (its own
shutdown timeout), and when the kubelet kills whatever is left (grace period). Each has a harmless
default; together those cut every stream.
"""

import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import pytest

from fixtures.beside import ON_TIME_SECONDS, OVERLOADED_SHARE, Overload
from fixtures.dialects import Spoken
from fixtures.own_backends import HEADER, PORT, StartBackends
from fixtures.scratch import Scratch
from fixtures.within_engines import WithinEngines, container_of
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.cluster import Cluster, Document
from hotfire.engine import idle_peer
from hotfire.errors import HarnessError
from hotfire.waiting import of_target, until

pytestmark = requirement(
    "LIF-005",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination",
)

SLEEP = re.compile(r"\bsleep (\d+(?:\.\d+)?)s?\b")
LEAVING, STAYING = "leaving", "staying"
# Until it is killed the leaving backend answers on, so that every request it still gets is seen.
ANSWERS_ON_SECONDS = 12
QUIET_SECONDS = 2.0
CLIENTS = 4
STREAMS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a shutdown has to wait for."""

    propagation_seconds: float
    """From a pod's deletion to the last request that the gateway sends to it."""
    stream_seconds: float
    """The longest answer that may have to end: as measured, or as promised."""
    disturbance: str = ""
    """Why the time of the propagation was not the target's own; empty if it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one pod shuts down."""

    prestop_seconds: float
    shutdown_timeout_seconds: float
    grace_seconds: float

    def problem(self, needs: Needs) -> str:
        """Return which of them is too short; empty if none is."""
        return self.cut_off(needs) or self.left_too_early(needs)

    def left_too_early(self, needs: Needs) -> str:
        """Return whether it leaves before the gateway knows; empty if not."""
        if self.prestop_seconds >= needs.propagation_seconds:
            return ""
        return (
            f"preStop waits {self.prestop_seconds:g} s, and the gateway sends for"
            f" {needs.propagation_seconds:.1f} s after the deletion"
        )

    def cut_off(self, needs: Needs) -> str:
        """Return what ends answers that still run; empty if nothing does."""
        prestop, timeout = self.prestop_seconds, self.shutdown_timeout_seconds
        if timeout < needs.stream_seconds:
            return (
                f"the engine gives running answers {timeout:g} s, and one may take"
                f" {needs.stream_seconds:.1f} s; raise its shutdown timeout"
            )
        if self.grace_seconds < prestop + timeout:
            return (
                f"the grace period of {self.grace_seconds:g} s is shorter than preStop and shutdown"
                f" timeout together, {prestop + timeout:g} s"
            )
        return ""

    def shortened(self, needs: Needs) -> "Iterator[Settings]":
        """Yield copies with one of them too short."""
        yield replace(self, prestop_seconds=needs.propagation_seconds / 2)
        yield replace(self, shutdown_timeout_seconds=needs.stream_seconds / 2)
        together = self.prestop_seconds + self.shutdown_timeout_seconds
        yield replace(self, grace_seconds=together / 2)


def prestop_seconds(container: Document) -> float:
    """Return how long a container's preStop hook waits; zero without one.

    Raises:
        HarnessError: it has one that does something else than to sleep.
    """
    hook = (container.get("lifecycle") or {}).get("preStop") or {}
    if not hook:
        return 0.0
    if "sleep" in hook:
        return float(hook["sleep"]["seconds"])
    words = " ".join((hook.get("exec") or {}).get("command") or ())
    if found := SLEEP.search(words):
        return float(found[1])
    raise HarnessError(
        f"how long the preStop hook of {container['name']} waits cannot be told from {hook};"
        " use preStop.sleep"
    )


def server(name: str) -> list[str]:
    program = Path(idle_peer.__file__).read_text(encoding="utf-8")
    return ["python3", "-c", program, "serve", "--port", str(PORT), "--name", name]


@dataclass(frozen=True, slots=True)
class Round:
    """Who answered some requests at once, and how long the one that stays took at most."""

    began: float
    served_by: tuple[str | None, ...]
    control_seconds: float

    @property
    def to_the_leaving(self) -> int:
        return self.served_by.count(LEAVING)


def asked(endpoint: Endpoint) -> Round:
    """Ask both backends, each time over a connection of its own."""

    def one(_: int) -> Reply:
        return endpoint.chat("?", max_tokens=1, headers={HEADER: LEAVING}, fresh=True)

    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        replies = list(pool.map(one, range(CLIENTS)))
    of_control = [each.seconds for each in replies if each.served_by != LEAVING]
    served_by = tuple(each.served_by for each in replies)
    return Round(began, served_by, max(of_control, default=0.0))


def both_serve(
    endpoint: Endpoint, scratch: Scratch, own_backends: StartBackends, profile: TargetProfile
) -> None:
    """Have two backends of ours behind one Service, so that one can leave."""
    own_backends({LEAVING: server(LEAVING)})
    scratch.pod(STAYING, argv=server(STAYING), labels={"app": LEAVING})
    scratch.wait_phase(STAYING, "Running")
    until(
        lambda: set(asked(endpoint).served_by) == {LEAVING, STAYING},
        within_seconds=profile.waits.route_live_seconds,
        what="answers by both backends",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Propagation:
    """How long the gateway took to learn of a deletion, and how its machine did meanwhile."""

    seconds: float
    """From the deletion to the last moment at which a request was sent that still got there."""
    requests: int
    """How many got there after the deletion."""
    control_seconds: float
    """The slowest answer of the backend that stayed."""
    overload: float | None
    """Share of the time in which somebody waited for a CPU; None: not the target's machine."""
    silent_seconds: float
    """For how long the API server let nobody look, the gateway's control plane least of all."""

    def disturbance(self) -> str:
        """Return why this is no measure of the target; empty if nothing says so."""
        if self.control_seconds > ON_TIME_SECONDS:
            return f"the backend that stayed took {self.control_seconds:.1f} s for an answer"
        if self.silent_seconds > ON_TIME_SECONDS:
            return f"the API server was silent for {self.silent_seconds:.1f} s"
        if self.overload is not None and self.overload > OVERLOADED_SHARE:
            return f"somebody waited for a CPU in {self.overload:.0%} of the time"
        return ""


def propagation(
    endpoint: Endpoint, cluster: Cluster, scratch: Scratch, *, shares_machine: bool
) -> Propagation:
    """Delete one backend; return for how long it still got requests, if it did not end first."""
    overload, silent_before = Overload(), cluster.silent_seconds()
    uid = scratch.get(LEAVING).uid
    cluster.delete("Pod", scratch.namespace, LEAVING, uid=uid, grace_seconds=ANSWERS_ON_SECONDS)
    deleted = time.monotonic()
    rounds: list[Round] = []

    def last() -> float:
        # Where it got none, the gateway knew before the first of them.
        got = [one.began for one in rounds if one.to_the_leaving]
        return max(got, default=rounds[0].began)

    def quiet() -> bool:
        rounds.append(asked(endpoint))
        return time.monotonic() - last() > QUIET_SECONDS

    of_target(
        quiet,
        within_seconds=ANSWERS_ON_SECONDS,
        what="no more requests to a backend on its way out",
        poll_seconds=0.01,
    )
    return Propagation(
        seconds=last() - deleted,
        requests=sum(one.to_the_leaving for one in rounds),
        control_seconds=max(one.control_seconds for one in rounds),
        overload=overload.share() if shares_machine else None,
        silent_seconds=cluster.silent_seconds() - silent_before,
    )


def longest_stream(endpoint: Endpoint, profile: TargetProfile) -> float:
    """Return the longest of some streams of the rated load's length."""

    def one(_: int) -> float:
        reply = endpoint.chat(
            "Tell me everything.", max_tokens=profile.load.max_tokens, stream=True, ignore_eos=True
        )
        if not reply.ok:
            raise HarnessError(f"a stream that was to be timed broke: {reply.why}")
        return reply.seconds

    with ThreadPoolExecutor(CLIENTS) as pool:
        return max(pool.map(one, range(STREAMS)))


def shutdown_timeout_seconds(spoken: Spoken, command_lines: str) -> float:
    """Return an engine's timeout as its processes were really given it, else what its kind has.

    Raises:
        HarnessError: it was given none, and what its kind has is not known.
    """
    option = spoken.dialect.drain_option
    # Python's command lines take a word's underscores for dashes.
    words = "[-_]".join(map(re.escape, option.removeprefix("--").split("-")))
    if option and (given := re.search(rf"--{words}[= ](\d+(?:\.\d+)?)", command_lines)):
        return float(given[1])
    if spoken.dialect.drain_seconds is None:
        raise HarnessError(
            f"how long engines of kind {spoken.kind} let answers end is not known; "
            "set engine.kind if they are of another"
        )
    return spoken.dialect.drain_seconds


def settings(document: Document, container: str, timeout_seconds: float) -> Settings:
    """Return how an engine shuts down, its own timeout given."""
    return Settings(
        prestop_seconds=prestop_seconds(container_of(document, container)),
        shutdown_timeout_seconds=timeout_seconds,
        grace_seconds=float(document["spec"]["terminationGracePeriodSeconds"]),
    )


@pytest.fixture
def needs(
    profile: TargetProfile,
    cluster: Cluster,
    scratch: Scratch,
    endpoint: Endpoint,
    own_backends: StartBackends,
    evidence: Evidence,
) -> Needs:
    """What this target's gateway and its answers ask of a shutdown."""
    both_serve(endpoint, scratch, own_backends, profile)
    propagated = propagation(endpoint, cluster, scratch, shares_machine=profile.shares_machine)
    measured = longest_stream(endpoint, profile)
    budgets = profile.budgets
    promised = max(budgets.e2e_p95_seconds or 0.0, budgets.e2e_p99_seconds or 0.0)
    evidence.record("propagation_seconds", round(propagated.seconds, 3))
    evidence.record("requests_to_the_leaving", propagated.requests)
    evidence.record("control_seconds_meanwhile", round(propagated.control_seconds, 3))
    evidence.record("overload_share_meanwhile", propagated.overload)
    evidence.record("longest_stream_measured_seconds", round(measured, 3))
    evidence.record("longest_stream_promised_seconds", promised)
    return Needs(
        propagation_seconds=propagated.seconds,
        stream_seconds=max(measured, promised),
        disturbance=propagated.disturbance(),
    )


def test_each_setting_is_long_enough(
    profile: TargetProfile,
    cluster: Cluster,
    within_engines: WithinEngines,
    needs: Needs,
    evidence: Evidence,
) -> None:
    found = {}
    for pod in within_engines.serving():
        if document := cluster.get("Pod", pod.namespace, pod.name):
            lines = within_engines.command_lines(pod)
            timeout = shutdown_timeout_seconds(within_engines.spoken, lines)
            found[pod.name] = settings(document, profile.engine.container, timeout)
    evidence.record("settings", {name: asdict(each) for name, each in found.items()})
    for name in (each.name for each in fields(Settings)):
        least = min((getattr(each, name) for each in found.values()), default=None)
        evidence.record(f"least_{name}", least)

    for name, each in found.items():
        assert not (why := each.cut_off(needs)), f"{name}: {why}"
    for name, each in found.items():
        why = each.left_too_early(needs)
        require_calm(name, why, needs)
        assert not why, f"{name}: {why}"
    check_control(found, needs)


def require_calm(name: str, why: str, needs: Needs) -> None:
    """Charge a late propagation only where the machine did not keep the gateway from learning."""
    if why and needs.disturbance:
        raise HarnessError(f"{name}: {why}; but {needs.disturbance}: try again when it is calm")


def check_control(found: Mapping[str, Settings], needs: Needs) -> None:
    """Negative control: what finds nothing wrong must reject each setting when it is too short."""
    if needs.propagation_seconds > ANSWERS_ON_SECONDS - QUIET_SECONDS:
        raise HarnessError(f"the gateway sends for more than {needs.propagation_seconds:.0f} s")
    for name, each in found.items():
        for copy in each.shortened(needs):
            if not copy.problem(needs):
                raise HarnessError(f"{name}: these pass as well: {copy}")
