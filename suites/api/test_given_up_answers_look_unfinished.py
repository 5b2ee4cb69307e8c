"""An answer that the engine gave up does not look finished.

An engine that is stopped amid its streams, aborts one or runs out of memory for it has to say so:
by an error, another finish_reason than those of a whole answer, or a cut. Half an answer that ends
with ``[DONE]`` and without an error is taken for a whole one by every client, stored and acted on.
What can be brought about at any engine is the stop: one pod of it goes, with too little time left
to end its streams.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from fixtures.stack import Stack
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.answer.openai_schema import DONE
from hotfire.cluster import Cluster, Pod
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass
from hotfire.waiting import pause

pytestmark = requirement(
    "API-010",
    Level.MUST,
    __doc__,
    source="https://platform.openai.com/docs/api-reference/chat/streaming",
)

STREAMS = 12
STREAM_SECONDS = 8.0
"""Well beyond the time that the engine is given, so that what runs on it cannot be ended."""
UNDER_WAY_SECONDS = 1.0
GRACE_SECONDS = 1
MEASURED_TOKENS, MOST_TOKENS = 64, 1800
DEADLINE_SECONDS = 60.0


@pytest.fixture
def patient(profile: TargetProfile, endpoint: Endpoint, evidence: Evidence) -> Iterator[Endpoint]:
    """A client of the gateway that waits longer than any of these streams takes."""
    del endpoint  # it holds the lease until the end of the case
    with Endpoint.of(
        profile, deadline_seconds=DEADLINE_SECONDS, record=evidence.exchange
    ) as client:
        yield client


@pytest.fixture
def victim(stack: Stack) -> Iterator[Pod]:
    """An engine that may go: another one serves meanwhile, and all are back after the case.

    Raises:
        HarnessError: there is only one.
    """
    ready = [pod for pod in stack.engines() if pod.ready]
    if len(ready) < 2:
        raise HarnessError(f"{len(ready)} engines are Ready; stopping one of them needs two")
    yield ready[0]
    stack.wait_ready()


def stream(client: Endpoint, turn: int, tokens: int) -> Reply:
    """Ask for so many tokens, whatever the model has to say."""
    return client.complete(
        f"Count, starting with {turn}:", max_tokens=tokens, stream=True, ignore_eos=True
    )


def told_tokens(reply: Reply) -> int:
    """Return how many tokens came: what usage says, else the chunks with text."""
    told = (reply.usage or {}).get("completion_tokens")
    return told if isinstance(told, int) else len(reply.chunks)


def looks_finished(reply: Reply) -> bool:
    """Return whether nothing in an answer tells that it was not ended."""
    silent = reply.failure is FailureClass.MALFORMED and reply.finish_reason is None
    return reply.ok or (silent and reply.error is None and DONE in reply.events)


def tokens_of(client: Endpoint) -> int:
    """Return how many tokens a stream must have to run as long as it is to.

    Raises:
        HarnessError: an undisturbed one does not end as a whole one does; none can be told then.
    """
    reply = stream(client, 0, MEASURED_TOKENS)
    if not reply.ok or told_tokens(reply) != MEASURED_TOKENS:
        raise HarnessError(
            f"undisturbed, {told_tokens(reply)} of {MEASURED_TOKENS} tokens came and the end was"
            f" {reply.finish_reason or reply.why}; it needs an engine that heeds ignore_eos"
        )
    return min(MOST_TOKENS, round(STREAM_SECONDS * MEASURED_TOKENS / reply.seconds))


def test_stopped_engine_s_answers_do_not_look_whole(
    patient: Endpoint, victim: Pod, cluster: Cluster, profile: TargetProfile, evidence: Evidence
) -> None:
    # Negative control: what ends undisturbed ends with stop or length, and with every token.
    tokens = tokens_of(patient)
    with ThreadPoolExecutor(STREAMS) as pool:
        asked: list[Future[Reply]] = [
            pool.submit(stream, patient, turn, tokens) for turn in range(STREAMS)
        ]
        pause(UNDER_WAY_SECONDS, why="the streams are to be under way")
        cluster.delete(
            "Pod", profile.namespace, victim.name, uid=victim.uid, grace_seconds=GRACE_SECONDS
        )
        replies = [one.result() for one in asked]
    short = [reply for reply in replies if told_tokens(reply) < tokens]
    lies = [reply for reply in short if looks_finished(reply)]
    evidence.record("tokens_asked", tokens)
    evidence.record("whole", len(replies) - len(short))
    evidence.record("given_up", [f"{told_tokens(reply)}: {reply.why}" for reply in short])
    evidence.record("look_finished", len(lies))

    assert not lies, (
        f"{len(lies)} of {len(short)} answers that were given up look finished, one after"
        f" {told_tokens(lies[0])} of {tokens} tokens with finish_reason {lies[0].finish_reason}"
    )
    if not short:
        raise HarnessError(f"{victim.name} was stopped, and none of {STREAMS} streams was cut")
