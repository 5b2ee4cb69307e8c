"""Idle connections between gateway and engines end in no error.

A request that the gateway sends into the moment in which an engine closes an idle connection is a
503 for its user, with nothing broken: uvicorn closes after five seconds, a gateway's pool keeps
connections for up to an hour. The side that sends next must be the side that closes.
"""

import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from fixtures.beside import ON_TIME_SECONDS
from fixtures.own_backends import HEADER, PORT, StartBackends
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Endpoint, Evidence, Level, Reply, Scope, TargetProfile, idle_times, requirement
from hotfire.cluster import Cluster
from hotfire.engine import idle_peer
from hotfire.errors import HarnessError
from hotfire.idle_times import Event, IdleTime, Waves
from hotfire.measure.history import FailureClass
from hotfire.waiting import pause, until

pytestmark = requirement(
    "GTW-013",
    Level.MUST,
    __doc__,
    source="https://www.rfc-editor.org/rfc/rfc9112.html#name-failures-and-timeouts",
    scope=Scope.CORE,
)

# Past uvicorn's 5 s, gunicorn's 2 s, nginx's 60 s and 75 s; who keeps longer is said to do so.
LONGEST_WATCH_SECONDS = 100.0
# To each engine, and to the patient backend: enough for a median that no accident decides.
CONNECTIONS = 4
TOKENS = 4
# It listens for as long as the case may last: the longest watch and two waves that far apart.
ASKER, ASKER_SECONDS = "asker", 600
# Two backends of our own: one never closes, one closes far earlier than any gateway.
PATIENT, HASTY, HASTY_SECONDS = "patient", "hasty", 1.0
# Each request of the control falls into the middle of the moment in which `hasty` closes.
CONTROL = idle_times.waves(3, 8, HASTY_SECONDS + idle_peer.CLOSING_SECONDS / 2)
# What a whole answer says is no matter of its connection; API-001 looks at that.
SAID = (FailureClass.MALFORMED, FailureClass.ABORTED)
# Where nobody closes there is no moment to aim at.
AIMLESS_SECONDS = 5.0


def program(*arguments: str) -> list[str]:
    return ["python3", "-c", Path(idle_peer.__file__).read_text(encoding="utf-8"), *arguments]


def server(name: str, keep_alive_seconds: float) -> list[str]:
    options = ("--name", name, "--keep-alive-seconds", str(keep_alive_seconds))
    return program("serve", "--port", str(PORT), *options)


def ask(endpoint: Endpoint, backend: str | None = None) -> Reply:
    headers = {HEADER: backend} if backend else {}
    return endpoint.chat("?", max_tokens=TOKENS, stream=True, headers=headers)


def loss(reply: Reply) -> str | None:
    """Return how a request was lost; None where its answer arrived whole, whatever it says."""
    if reply.ok or (reply.error is None and reply.failure in SAID):
        return None
    return f"{reply.status or 'no answer'}: {reply.failure}"


@dataclass(frozen=True, slots=True)
class Wave:
    """Requests that were sent at once, and those beside them to a backend that never closes."""

    replies: list[Reply]
    beside: list[Reply]
    ended: float

    @property
    def calm(self) -> bool:
        """Whether those beside arrived whole and on time: the machine did not stand still."""
        return all(not loss(one) and one.seconds <= ON_TIME_SECONDS for one in self.beside)


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the requests: of the first wave, which nothing idle awaits, and the others."""

    first: Wave
    others: list[Wave]

    @property
    def lost(self) -> Counter[str]:
        """What was lost while those beside were well."""
        return losses(reply for wave in self.others if wave.calm for reply in wave.replies)

    @property
    def excused(self) -> Counter[str]:
        """What was lost while those beside were late or lost as well."""
        return losses(reply for wave in self.others if not wave.calm for reply in wave.replies)


def losses(replies: Iterable[Reply]) -> Counter[str]:
    return Counter(lost for reply in replies if (lost := loss(reply)))


def send(
    endpoint: Endpoint, plan: Waves, backend: str | None = None, *, beside: str | None = None
) -> Sent:
    """Send a first wave, then each planned one that long after the answers of the one before.

    The client's own connections are not the subject: where its library has closed them, it opens
    new ones. The gateway's connections behind them are those that are reused. Some requests more
    of each wave go to the backend ``beside``.
    """

    def one(to: str | None) -> tuple[Reply, float]:
        return ask(endpoint, to), time.monotonic()

    names = [backend] * plan.clients + ([beside] * CONNECTIONS if beside else [])

    def wave(pool: ThreadPoolExecutor) -> Wave:
        answers = list(pool.map(one, names))
        replies = [reply for reply, _ in answers]
        ended = median(end for _, end in answers[: plan.clients])
        return Wave(replies[: plan.clients], replies[plan.clients :], ended)

    with ThreadPoolExecutor(len(names)) as pool:
        waves = [wave(pool)]
        for offset in plan.offsets_seconds:
            due = waves[-1].ended + plan.spacing_seconds + offset
            pause(due - time.monotonic(), why="idle connections are to be about to be closed")
            waves.append(wave(pool))
    return Sent(waves[0], waves[1:])


@dataclass(frozen=True, slots=True)
class Watch:
    """Both sides' idle connections, watched at once: the engines', and the gateway's to us."""

    cluster: Cluster
    namespace: str
    since: float

    def engines(self) -> dict[str, IdleTime]:
        return idle_times.by_peer(self.seen(ASKER), watched_seconds=self.seconds)

    def gateway(self) -> IdleTime:
        return idle_times.idle_time(self.seen(PATIENT), watched_seconds=self.seconds)

    def shortest(self) -> float | None:
        return idle_times.shortest([*self.engines().values(), self.gateway()])

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self.since, 1)

    def seen(self, name: str) -> list[Event]:
        log = self.cluster.logs(self.namespace, name, tail_lines=20_000)
        try:
            return idle_times.events(log)
        except ValueError as error:
            raise HarnessError(f"pod {name} broke: {log[-300:]}") from error


@pytest.fixture
def watch(
    stack: Stack,
    scratch: Scratch,
    cluster: Cluster,
    profile: TargetProfile,
    endpoint: Endpoint,
    own_backends: StartBackends,
) -> Watch:
    """Connections to each engine and to the patient backend, idle from now on."""
    own_backends({PATIENT: server(PATIENT, 0.0), HASTY: server(HASTY, HASTY_SECONDS)})
    engines = [f"{pod.ip}:{profile.engine.port}" for pod in stack.engines() if pod.ready]
    options = ("--seconds", str(ASKER_SECONDS), "--connections", str(CONNECTIONS))
    scratch.pod(ASKER, argv=program("watch", *options, *engines))
    scratch.wait_phase(ASKER, "Running")
    started = Watch(cluster, scratch.namespace, 0.0)

    def asked() -> bool:
        seen = started.seen(ASKER)
        if unanswered := [one for one in seen if one["event"] == "error"]:
            raise HarnessError(f"an engine cannot be asked from here: {unanswered[0]}")
        answers = [one for one in seen if one["event"] == "idle"]
        return len(answers) == CONNECTIONS * len(engines)

    until(
        asked,
        within_seconds=idle_peer.ANSWER_TIMEOUT_SECONDS + 20,
        what=f"{CONNECTIONS} answers of each of {len(engines)} engines",
    )
    with ThreadPoolExecutor(2 * CONNECTIONS) as pool:
        list(pool.map(lambda _: ask(endpoint, PATIENT), range(2 * CONNECTIONS)))
    return Watch(cluster, scratch.namespace, time.monotonic())


def test_requests_meet_no_closing_connection(
    endpoint: Endpoint, watch: Watch, evidence: Evidence
) -> None:
    control(endpoint, watch, evidence)
    until(
        lambda: watch.shortest() is not None or watch.seconds > LONGEST_WATCH_SECONDS,
        within_seconds=LONGEST_WATCH_SECONDS + 30,
        what="the first idle connections closed",
        poll_seconds=0.5,
    )
    shortest = watch.shortest()
    plan = idle_times.plan_waves(shortest or AIMLESS_SECONDS)
    sent = send(endpoint, plan, beside=PATIENT)
    engines, gateway = watch.engines(), watch.gateway()
    races = [found for one in engines.values() if (found := idle_times.race(one, gateway))]
    evidence.record("engines", {peer: str(one) for peer, one in engines.items()})
    evidence.record("engine_idle", str(min(engines.values(), key=IdleTime.at_least)))
    evidence.record("gateway_idle", str(gateway))
    evidence.record("aimed_at_seconds", shortest)
    evidence.record("requests", plan.requests)
    evidence.record("waves", len(plan.offsets_seconds))
    evidence.record("lost", sent.lost)
    evidence.record("lost_with_the_control_late", sent.excused)
    evidence.record("lost_of_first_wave", losses(sent.first.replies))

    assert not races, races[0]
    if lost := losses(sent.first.replies):
        raise HarnessError(f"requests fail without idle connections too: {lost}")
    assert not sent.lost, f"{sent.lost} of {plan.requests} requests over idle connections lost"
    if sent.excused:
        raise HarnessError(
            f"{sent.excused} of {plan.requests} requests lost, and a backend that never closes was"
            " late at the same moment: the machine stood still; try again on a quieter one"
        )


def control(endpoint: Endpoint, watch: Watch, evidence: Evidence) -> None:
    """Send the same to the backend with the two times swapped; it must not look well.

    A gateway that retries may hide it from the client, so what the backend saw counts as well.

    Raises:
        HarnessError: no request was lost there, and none even met a closing connection.
    """
    lost = send(endpoint, CONTROL, HASTY).lost
    met = sum(event["event"] == "met" for event in watch.seen(HASTY))
    evidence.record("control_requests", CONTROL.requests)
    evidence.record("control_lost", lost.total())
    evidence.record("control_met_closing_connections", met)
    if not (lost or met):
        raise HarnessError(
            f"no request met a connection that was closing after {HASTY_SECONDS:g} s;"
            " the gateway seems to keep none for so long"
        )
