"""Scale to zero loses no first request.

Who keeps no engine at night saves its accelerators, and pays with the first user of the morning. If
nobody takes his request until an engine has loaded, it breaks, and so does that of everybody who
comes meanwhile.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from time import monotonic

from fixtures.replicas import start_seconds
from fixtures.stack import CANARY, Stack
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.cluster import Cluster, Pod
from hotfire.errors import HarnessError
from hotfire.waiting import Awaited, of_target, pause, until

pytestmark = requirement(
    "SCA-006",
    Level.SHOULD,
    __doc__,
    source="https://www.rfc-editor.org/rfc/rfc9110.html#section-15.6.4",
    features={"scale-to-zero"},
)

# Beside the load: until somebody has noticed, and the gateway knows of the engine.
LATE_SECONDS = 30.0
USERS, APART_SECONDS, AGAIN_SECONDS = 8, 1.5, 0.5
"""One after the other they come, the later ones while an engine starts; then each comes again."""
# A gateway learns of the first engine, and forgets who stood in for it, some seconds later.
SETTLED_SECONDS = 5.0
# Told to return at a time of day, or in words.
_UNREADABLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One user's question, and his returns as often as he was told when to."""

    seconds: float
    """From when he first came to his answer, a token long."""
    replies: list[Reply]

    @property
    def ended(self) -> Reply:
        return self.replies[-1]

    @property
    def at_engine(self) -> bool:
        """Whether he was not sent to the canary, which never sleeps."""
        return self.ended.served_by != CANARY


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Ask for a token each, patiently."""

    endpoint: Endpoint
    over: Event = field(default_factory=Event)

    def come(self, number: int) -> list[Visit]:
        """Ask, and ask again until it is over."""
        pause(number * APART_SECONDS, why="some are to come while an engine starts")
        found = [self.visit()]
        while not self.over.is_set():
            pause(AGAIN_SECONDS, why="users come again, and not at once")
            found.append(self.visit())
        return found

    def visit(self) -> Visit:
        """Ask once; who is told when to return does."""
        began, replies = monotonic(), [self._ask()]
        while (wait := told_to_return_seconds(replies[-1])) is not None:
            if monotonic() - began + wait > self.endpoint.deadline_seconds:
                break
            pause(wait, why="the gateway said when to return")
            replies.append(self._ask())
        return Visit(seconds=monotonic() - began, replies=replies)

    def _ask(self) -> Reply:
        return self.endpoint.chat("Is anybody there?", max_tokens=1, fresh=True)


def told_to_return_seconds(reply: Reply) -> float | None:
    """Return after how long a refused user is to return; None: he was told nothing of the kind."""
    said = reply.headers.get("retry-after") if reply.status == 503 else None
    if said is None:
        return None
    return float(said) if said.isdecimal() else _UNREADABLE_SECONDS


def fall_asleep(cluster: Cluster, profile: TargetProfile) -> None:
    """Wait until no engine is left; those on their way out still answer.

    Raises:
        HarnessError: some stay.
    """
    until(
        lambda: not cluster.pods(profile.namespace, profile.engine.selector),
        within_seconds=profile.waits.idle_seconds,
        what="no engine left without requests, as scale-to-zero claims; if it takes longer, set"
        " waits.idle_seconds",
        poll_seconds=0.5,
        excused_seconds=cluster.silent_seconds,
    )


def woken(users: Users, cluster: Cluster, stack: Stack) -> tuple[list[Visit], Awaited[list[Pod]]]:
    """Have users come while there is no engine, and until the first one has served for a while."""
    with ThreadPoolExecutor(USERS) as pool:
        coming = [pool.submit(users.come, number) for number in range(USERS)]
        try:
            engines = of_target(
                lambda: [pod for pod in stack.engines() if pod.serving],
                within_seconds=users.endpoint.deadline_seconds,
                what="an engine that serves",
                poll_seconds=0.5,
                excused_seconds=cluster.silent_seconds,
            )
            pause(SETTLED_SECONDS, why="what breaks as the gateway learns of the engine is to show")
        finally:
            users.over.set()
    return [visit for one in coming for visit in one.result()], engines


def test_who_comes_while_no_engine_is_there_is_served_by_the_first(
    cluster: Cluster, profile: TargetProfile, stack: Stack, evidence: Evidence
) -> None:
    patience = profile.waits.pod_ready_seconds + LATE_SECONDS
    with Endpoint.of(profile, deadline_seconds=patience, record=evidence.exchange) as endpoint:
        fall_asleep(cluster, profile)
        visits, engines = woken(Users(endpoint=endpoint), cluster, stack)
        load = load_seconds(cluster, profile, engines)
        meant = [visit for visit in visits if visit.at_engine]
        slowest = max((visit.seconds for visit in meant), default=0.0)
        lost = [visit for visit in meant if not visit.ended.ok]
        told = sum(len(visit.replies) > 1 for visit in meant)
        evidence.record("load_seconds", load)
        evidence.record("users", {"all": len(meant), "told_to_return": told, "lost": len(lost)})
        evidence.record("slowest_seconds", round(slowest, 1))
        assert not lost, (
            f"{len(lost)} of {len(meant)} users who came while no engine was there were lost:"
            f" {lost[0].ended.why}, {without_a_word(lost)} of them with 503 and no Retry-After"
        )
        assert engines, f"{engines}, with {USERS} users waiting"
        assert slowest <= load + LATE_SECONDS, (
            f"a user waited {slowest:.1f} s for his first token; the engine loaded for {load:g} s"
        )
        check_control(Users(endpoint=endpoint), slowest, evidence)


def without_a_word(visits: list[Visit]) -> int:
    bare = (visit.ended for visit in visits)
    return sum(one.status == 503 and "retry-after" not in one.headers for one in bare)


def load_seconds(cluster: Cluster, profile: TargetProfile, engines: Awaited[list[Pod]]) -> float:
    """Return how long the first engine took from its start to Ready; 0: there is none."""
    for pod in engines.seen:
        if document := cluster.get("Pod", pod.namespace, pod.name):
            return start_seconds(document, profile.engine.container)
    return 0.0


def check_control(users: Users, slowest: float, evidence: Evidence) -> None:
    """Negative control: with an engine there nobody waits for one, so that who waited did."""
    # As long as an engine is not among those who answer by chance.
    visits = [users.visit() for _ in range(USERS)]
    warm = [visit.seconds for visit in visits if visit.at_engine and visit.ended.ok]
    evidence.record("with_an_engine_seconds", [round(one, 2) for one in warm])
    if not warm or slowest <= max(warm):
        raise HarnessError(
            f"the slowest waited {slowest:.2f} s without an engine, and others {warm} with one:"
            " somebody else served, or nobody waited for a load"
        )
