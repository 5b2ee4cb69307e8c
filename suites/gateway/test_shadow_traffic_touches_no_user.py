"""Shadow traffic reaches the candidate without touching users.

A candidate is tried on real requests before it answers any. That is safe only while nobody waits
for it: where a user's answer comes after the copy's, each fault of the candidate is one of the
service, and a copy that goes astray counts a user twice. Two engines of ours stand behind the
engines' own route; one of them has a shadow, which is sound at first, then slow, then broken.
"""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import pytest

from fixtures.beside import ON_TIME_SECONDS
from fixtures.own_backends import HEADER, StartBackends, got_by, scripted_engine, set_script
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.waiting import eventually

pytestmark = requirement(
    "GTW-007",
    Level.SHOULD,
    __doc__,
    source="https://gateway-api.sigs.k8s.io/reference/spec/#httprequestmirrorfilter",
    features={"traffic-mirroring"},
)

# The same engine twice, with a copy of each request to the shadow and without.
MIRRORED, PLAIN, SHADOW = "mirrored", "plain", "shadow"
SLOW_SECONDS = 1.5
"""To the first token of the slow shadow: more than any answer takes on a machine that goes on."""
SHADOWS: Mapping[str, Mapping[str, float | str]] = {
    "sound": {"ttft_seconds": 0.02},
    "slow": {"ttft_seconds": SLOW_SECONDS},
    "failing": {"ttft_seconds": 0.02, "misbehaviour": "internal_error"},
    "resetting": {"misbehaviour": "rst"},
}
# Whom a gateway has found broken it may leave alone.
COPIED = ("sound", "slow")
REQUESTS, CLIENTS = 30, 3
COPIED_WITHIN_SECONDS = 5.0
SLOWER_SECONDS = 0.1
"""By the medians: two engines on shared cores differ by less."""

Replies = Mapping[str, Reply]
"""Answers by their prompts."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests with a shadow, and as many without at the same time."""

    mirrored: Replies
    plain: Replies

    @property
    def slower_seconds(self) -> float:
        """How much longer answers take with a shadow."""
        return _median_seconds(self.mirrored) - _median_seconds(self.plain)

    @property
    def most_seconds(self) -> float:
        """How much longer they may take: as long again, where all are slow."""
        return max(SLOWER_SECONDS, _median_seconds(self.plain))

    @property
    def late(self) -> int:
        """How many answers came as late as those of the slow shadow."""
        return sum(reply.seconds >= SLOW_SECONDS for reply in self.mirrored.values())


def _median_seconds(replies: Replies) -> float:
    return median(reply.seconds for reply in replies.values())


def broken(replies: Replies) -> Counter[str]:
    """Return what broke of these answers."""
    return Counter(reply.why for reply in replies.values() if not reply.ok)


def mixed_up(replies: Replies, engine: str) -> Counter[str]:
    """Return what is wrong with whole answers of an engine that says again what it is asked."""
    return Counter(
        f"{reply.served_by} said something else"
        for prompt, reply in replies.items()
        if reply.ok and not (reply.served_by == engine and reply.text == prompt)
    )


@pytest.fixture
def shadow(
    own_backends: StartBackends, scratch: Scratch, stack: Stack, profile: TargetProfile
) -> None:
    """Two engines that say again what they are asked, and the shadow of one of them."""
    model = profile.engine.model
    echo: dict[str, float | str] = {"ttft_seconds": 0.02, "misbehaviour": "echo"}
    programs = {name: scripted_engine(name, model, **echo) for name in (MIRRORED, PLAIN)}
    programs[SHADOW] = scripted_engine(SHADOW, model)
    former = stack.way_in()["spec"]["rules"][0].get("filters", [])
    backend = {"name": SHADOW, "namespace": scratch.namespace, "port": 80}
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": backend}}
    own_backends(programs, rules={MIRRORED: {"filters": [*former, mirror]}})


def ask(endpoint: Endpoint, engine: str, words: str) -> Replies:
    """Ask one of the two, every other time for a stream."""
    prompts = [f"{engine} {words} {turn}" for turn in range(REQUESTS)]

    def one(turn: int) -> Reply:
        return endpoint.chat(
            prompts[turn],
            max_tokens=len(prompts[turn].split()),
            stream=bool(turn % 2),
            headers={HEADER: engine},
        )

    with ThreadPoolExecutor(CLIENTS) as pool:
        return dict(zip(prompts, pool.map(one, range(REQUESTS)), strict=True))


def ask_both(endpoint: Endpoint, words: str) -> Asked:
    with ThreadPoolExecutor(2) as pool:
        return Asked(*pool.map(lambda one: ask(endpoint, one, words), (MIRRORED, PLAIN)))


@dataclass(frozen=True, slots=True)
class Course:
    """What became of everybody under each shadow, and what the engines got."""

    asked: Mapping[str, Asked]
    copies: Counter[str]
    """How often the shadow got each prompt."""
    own: Counter[str]
    """How often the engine that has a shadow got it."""

    @property
    def due(self) -> Counter[str]:
        """What the shadow should have got: each answered request once, while it was sound."""
        return Counter(
            prompt
            for name in COPIED
            for prompt, reply in self.asked[name].mirrored.items()
            if reply.ok
        )

    @property
    def repeated(self) -> set[str]:
        """Prompts that an engine got more than once."""
        own = {prompt for prompt, times in self.own.items() if times > 1}
        return {prompt for prompt in self.due if self.copies[prompt] > 1} | own

    @property
    def astray(self) -> set[str]:
        """Prompts of which no copy was to be made."""
        return {prompt for one in self.asked.values() for prompt in one.plain} & set(self.copies)

    @property
    def beside(self) -> Replies:
        """The answers that have no shadow."""
        return {prompt: one for each in self.asked.values() for prompt, one in each.plain.items()}


def counted(scratch: Scratch, engine: str) -> Counter[str]:
    """Return how often an engine got each prompt of ours."""
    prompts = (one.prompt for one in got_by(scratch, engine))
    return Counter(prompt for prompt in prompts if prompt.startswith((MIRRORED, PLAIN)))


@pytest.fixture
def course(endpoint: Endpoint, scratch: Scratch, shadow: None) -> Course:
    """Ask under each shadow, and count when the copies have had their time."""
    asked: dict[str, Asked] = {}
    for name, script in SHADOWS.items():
        set_script(scratch, SHADOW, **script)
        asked[name] = ask_both(endpoint, name)
    own = counted(scratch, MIRRORED)
    due = Course(asked, Counter(), own).due
    eventually(lambda: due <= counted(scratch, SHADOW), within_seconds=COPIED_WITHIN_SECONDS)
    return Course(asked, counted(scratch, SHADOW), own)


def test_users_get_their_answers_whatever_the_shadow_does(
    course: Course, evidence: Evidence
) -> None:
    missing, late = course.due - course.copies, course.asked["slow"].late
    slower = {name: round(one.slower_seconds, 3) for name, one in course.asked.items()}
    lost = {name: broken(one.mirrored) for name, one in course.asked.items()}
    evidence.record("requests", course.due.total())
    evidence.record("copies", (course.due & course.copies).total())
    evidence.record("repeated", sorted(course.repeated))
    evidence.record("slower_by_seconds", slower)
    evidence.record("as_late_as_the_slow_shadow", late)
    evidence.record("lost", lost)
    check_control(course)

    # In a moment in which a machine or a path stands still no more suffer than are asked at once.
    assert late <= CLIENTS, f"{late} of {REQUESTS} users waited for a slow shadow"
    for name, one in course.asked.items():
        others, gone = mixed_up(one.mirrored, MIRRORED), lost[name].total()
        assert not others, f"with a {name} shadow of {REQUESTS} answers: {dict(others)}"
        assert gone <= CLIENTS, f"with a {name} shadow {gone} of {REQUESTS} answers were lost"
        seconds = slower[name]
        assert seconds <= one.most_seconds, f"a {name} shadow makes answers {seconds} s slower"
    assert not missing, f"{missing.total()} of {course.due.total()} requests were not copied"
    assert not course.repeated, f"{len(course.repeated)} requests reached an engine twice"
    if any(lost.values()) or broken(course.beside):
        raise HarnessError(
            f"a few answers were lost, no more than by an accident, {lost} and without a shadow"
            f" {dict(broken(course.beside))}; try again on a quieter machine"
        )


def check_control(course: Course) -> None:
    """Negative control: what has no shadow is right, on time, and not copied.

    Raises:
        HarnessError: it is not, so that the same of what has one tells nothing.
    """
    if others := mixed_up(course.beside, PLAIN):
        raise HarnessError(f"without a shadow answers are wrong as well: {dict(others)}")
    late = sum(reply.seconds > ON_TIME_SECONDS for reply in course.beside.values())
    lost = broken(course.beside)
    if max(late, lost.total()) > CLIENTS:
        raise HarnessError(
            f"without a shadow {late} answers took more than {ON_TIME_SECONDS:g} s, and were lost:"
            f" {dict(lost)}, as if the machine stood still; try again on a quieter one"
        )
    if course.astray:
        raise HarnessError(f"{len(course.astray)} requests of those without a shadow were copied")
