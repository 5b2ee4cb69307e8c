"""Accepted streams are never truncated, duplicated, mixed up or answered by another model.

A proxy that ends a stream early and cleanly, or puts a chunk into a neighbour's answer, harms one
user in a thousand and leaves no error anywhere. So there are many streams at the rated load: the
engines' own, each of which has to be whole, and as many of an engine of ours that answers with the
words of its prompt, so that every token of every answer is known.
"""

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from fixtures.own_backends import HEADER, StartBackends, scripted_engine
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.answer.openai_schema import DONE, stream_problems
from hotfire.answer.token_clock import Asked
from hotfire.answer.transcript import Transcript
from hotfire.errors import HarnessError
from hotfire.measure.counts import upper_bound
from hotfire.measure.history import Request
from hotfire.traffic.runner.launch import RunningLoad

pytestmark = requirement(
    "API-002",
    Level.MUST,
    __doc__,
    source="https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream",
)

ECHO = "echo"
WORDS, TOKENS = 8, 24
"""Each answer has its prompt's words three times."""
CLIENTS = 8
ACCEPTED_RATIO = 0.99


@dataclass(frozen=True, slots=True)
class Told:
    """One stream of the engine that repeats its prompt."""

    prompt: str
    reply: Reply

    def wrong(self, events: Sequence[str], asked: Asked) -> list[str]:
        """Return how these events differ from the answer to this prompt."""
        said = Transcript(keep_text=True)
        for event in events:
            said.take(event, 0)
        words = self.prompt.split()
        expected = " ".join(words[place % len(words)] for place in range(TOKENS))
        other = [] if said.text == expected else [f"{said.text!r} instead of {expected!r}"]
        return stream_problems(events, asked=asked) + other


@pytest.fixture
def echo(own_backends: StartBackends, profile: TargetProfile) -> None:
    """An engine of ours that repeats its prompt, at the pace of a quick engine."""
    pace = {"ttft_seconds": 0.005, "tpot_seconds": 0.003}
    own_backends({ECHO: scripted_engine(ECHO, profile.engine.model, misbehaviour="echo", **pace)})


def tell(endpoint: Endpoint, turn: int) -> Told:
    """Ask for an answer that nobody else gets."""
    prompt = " ".join(f"{uuid.uuid4().hex[:6]}-{place}" for place in range(WORDS))
    reply = endpoint.complete(
        prompt, max_tokens=TOKENS, stream=True, headers={HEADER: ECHO}, fresh=turn % 5 == 0
    )
    return Told(prompt, reply)


def wrong(row: Request, max_tokens: int) -> str:
    """Return what is wrong with an answer of the engines that was accepted; empty: nothing."""
    if row.failed:
        return f"{row.error_class}: {row.detail}"
    if row.deviation:
        return row.deviation
    reached = row.n_out is None or row.n_out >= max_tokens
    return "" if reached or row.finish_reason != "length" else f"{row.n_out} tokens, then length"


def check_control(one: Told, other: Told, asked: Asked) -> None:
    """Damage a recorded stream in each way; each has to be noticed.

    Raises:
        HarnessError: one was not.
    """
    events, foreign = one.reply.events, other.reply.events
    place = len(events) // 2
    damaged = {
        "cut": events[:place],
        "ended early": [*events[:place], DONE],
        "a chunk lost": [*events[:place], *events[place + 1 :]],
        "a chunk twice": [*events[:place], *events[place - 1 :]],
        "another's chunk": [*events[:place], foreign[place], *events[place + 1 :]],
    }
    unnoticed = [name for name, these in damaged.items() if not one.wrong(these, asked)]
    if unnoticed or not one.wrong(events, Asked(models={"another"}, max_tokens=TOKENS)):
        raise HarnessError(f"a recorded stream was damaged unnoticed: {unnoticed or 'the model'}")


def test_every_accepted_stream_is_whole_and_its_own(
    endpoint: Endpoint,
    echo: None,
    load: Callable[..., RunningLoad],
    profile: TargetProfile,
    evidence: Evidence,
) -> None:
    wanted, rate = profile.measurement.slo_requests, profile.load.rate_per_second
    running = load(name="API-002", duration_seconds=wanted / rate, process="constant")
    with ThreadPoolExecutor(CLIENTS) as pool:
        told = list(pool.map(lambda turn: tell(endpoint, turn), range(wanted)))
    running.wait_finished(wanted / rate + profile.load.deadline_seconds + 60)
    rows = [row for row in running.rows() if row.accepted]
    known = [one for one in told if one.reply.status == 200]
    asked = Asked(models={profile.engine.model}, max_tokens=TOKENS)
    broken = [words for row in rows if (words := wrong(row, profile.load.max_tokens))]
    differ = [words for one in known for words in one.wrong(one.reply.events, asked)]
    evidence.record("engines_streams", len(rows))
    evidence.record("known_streams", len(known))
    evidence.record("broken_at_most_ratio", round(upper_bound(len(broken), len(rows) or 1), 5))
    evidence.record("broken", broken[:10])
    evidence.record("differ", differ[:10])

    assert not broken, f"{len(broken)} of {len(rows)} accepted streams were broken: {broken[0]}"
    assert not differ, f"{len(differ)} of {len(known)} known answers differ: {differ[0]}"
    if min(len(rows), len(known)) < ACCEPTED_RATIO * wanted - 1:
        raise HarnessError(f"of {wanted} streams each, {len(rows)} and {len(known)} were accepted")
    check_control(known[0], known[1], asked)
