"""Retries are bounded.

An engine refuses when it has no room. A gateway that sends each refused request again, and again,
multiplies the load at that very moment, and what was a full queue becomes an outage. And whoever
has read the beginning of an answer must not be sent a second one. How often the engines were asked
is told by engines of ours, behind the engines' own route; the gateway is not asked.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from fixtures.own_backends import HEADER, Got, StartBackends, got_by, scripted_engine, set_script
from fixtures.scratch import Scratch
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.errors import HarnessError

pytestmark = requirement(
    "GTW-012",
    Level.SHOULD,
    __doc__,
    source="https://sre.google/sre-book/addressing-cascading-failures/",
)

# Every fifth request goes to an engine that refuses it as often as it comes, or cuts its answer.
FAULTY, STEADY = "faulty", "steady"
EVERY = 5
REQUESTS, CLIENTS = 100, 4
LEAST_FAULTY = REQUESTS // EVERY // 2
"""A gateway may keep requests from a broken engine; of fewer nothing is told."""
TOKENS = 6
PACE: Mapping[str, float] = {"ttft_seconds": 0.01, "tpot_seconds": 0.01}
# By what the faulty engine does; half of its tokens are out when it cuts an answer.
SOUND, REFUSING, CUTTING = "ok", "refuse", "fin"
# Asked twice by us, which must be seen.
TWICE = f"{STEADY} twice"


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the requests while the faulty engine did one thing."""

    replies: Mapping[str, Reply]
    """By their prompts."""
    got: list[Got]
    """Of these, as the engines got them."""

    @property
    def retries(self) -> int:
        """How often a request came again to an engine."""
        return len(self.got) - len(self.arrived)

    @property
    def arrived(self) -> set[str]:
        return {one.prompt for one in self.got}

    @property
    def faulty(self) -> set[str]:
        """Those that came to the faulty engine."""
        return {prompt for prompt in self.arrived if prompt.startswith(FAULTY)}

    @property
    def kept_away(self) -> set[str]:
        """Those that the steady engine should have got, and did not."""
        return {prompt for prompt in self.replies if prompt.startswith(STEADY)} - self.arrived

    @property
    def begun_again(self) -> set[str]:
        """Requests of which more than one answer was begun."""
        begun = Counter(one.prompt for one in self.got if one.tokens)
        return {prompt for prompt, times in begun.items() if times > 1}


@pytest.fixture
def engines(own_backends: StartBackends, profile: TargetProfile) -> None:
    """Two engines of ours, sound so far."""
    model = profile.engine.model
    own_backends({name: scripted_engine(name, model, **PACE) for name in (FAULTY, STEADY)})


def ask(endpoint: Endpoint, prompt: str) -> Reply:
    # Over a connection of its own: on an old one the client itself may have to ask again.
    engine = FAULTY if prompt.startswith(FAULTY) else STEADY
    headers = {HEADER: engine}
    return endpoint.chat(prompt, max_tokens=TOKENS, stream=True, headers=headers, fresh=True)


def send(endpoint: Endpoint, scratch: Scratch, doing: str) -> Sent:
    """Send every request once, while the faulty engine does this."""
    set_script(scratch, FAULTY, misbehaviour=doing)
    prompts = [f"{STEADY if turn % EVERY else FAULTY} {doing} {turn}" for turn in range(REQUESTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        replies = dict(zip(prompts, pool.map(lambda one: ask(endpoint, one), prompts), strict=True))
    return Sent(replies, [one for one in got(scratch) if one.prompt in replies])


def got(scratch: Scratch) -> Iterable[Got]:
    """Yield whatever the two engines got so far."""
    for engine in (FAULTY, STEADY):
        yield from got_by(scratch, engine)


def test_a_fifth_of_refusals_brings_no_storm_and_nothing_begun_is_repeated(
    endpoint: Endpoint, scratch: Scratch, engines: None, profile: TargetProfile, evidence: Evidence
) -> None:
    check_control(endpoint, scratch, evidence)
    refusing = send(endpoint, scratch, REFUSING)
    cutting = send(endpoint, scratch, CUTTING)
    most = profile.gateway.retry_ratio * REQUESTS
    evidence.record("requests", REQUESTS)
    evidence.record("refused", len(refusing.faulty))
    evidence.record("retries", refusing.retries)
    evidence.record("retries_at_most", most)
    evidence.record("cut", len(cutting.faulty))
    evidence.record("begun_again", sorted(cutting.begun_again))
    for sent in (refusing, cutting):
        if len(sent.faulty) < LEAST_FAULTY or sent.kept_away:
            raise HarnessError(
                f"{len(sent.faulty)} requests came to an engine that breaks them, and"
                f" {len(sent.kept_away)} did not come to a sound one: too few, or too many"
            )

    assert refusing.retries <= most, (
        f"{len(refusing.faulty)} of {REQUESTS} requests were refused, and the gateway sent"
        f" {refusing.retries} times again; {most:g} are declared (gateway.retry_ratio)"
    )
    assert not cutting.begun_again, (
        f"{len(cutting.begun_again)} of {len(cutting.faulty)} requests whose answers were cut were"
        " sent again after they had begun"
    )


def check_control(endpoint: Endpoint, scratch: Scratch, evidence: Evidence) -> None:
    """Negative control: what is not refused is not sent again, and what we send again is seen.

    Raises:
        HarnessError: it is otherwise.
    """
    for _ in range(2):
        ask(endpoint, TWICE)
    seen = sum(one.prompt == TWICE for one in got(scratch))
    sound = send(endpoint, scratch, SOUND)
    evidence.record("control_retries", sound.retries)
    evidence.record("control_sent_twice", seen)
    if sound.retries or seen != 2:
        raise HarnessError(
            f"without refusals {sound.retries} of {REQUESTS} requests were sent again, and one that"
            f" we sent twice came {seen} times; who else sends requests here?"
        )
