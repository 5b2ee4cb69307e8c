"""Every declared endpoint answers by the OpenAI schema, with usage and a proper end.

Clients are written against that schema: a missing usage breaks billing, a missing sentinel hangs
the reader, and an error object inside a stream that began with 200 reaches the user as an answer.
A usage that counts more than was asked for, or less than was sent, bills wrongly; and whoever asks
for one model and is answered by another gets answers that nobody chose (other names of the same
model are declared in the target file, ``engine.aliases``).
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest

from hotfire import Endpoint, Evidence, Level, Scope, TargetProfile, requirement
from hotfire.answer.openai_schema import Chat, Completion, Models, problems, stream_problems
from hotfire.answer.token_clock import Asked

pytestmark = requirement(
    "API-001",
    Level.MUST,
    __doc__,
    source="https://platform.openai.com/docs/api-reference/chat",
    scope=Scope.SMOKE,
)

# With a canary at 5 % a handful would meet only one version; both must follow the schema.
TIMES = 60
CLIENTS = 4
MAX_TOKENS = 4


@pytest.fixture
def asked(profile: TargetProfile) -> Asked:
    """What each answer is held against."""
    return Asked(models={profile.engine.model, *profile.engine.aliases}, max_tokens=MAX_TOKENS)


def in_every_turn(deviations: Callable[[int], list[str]]) -> list[str]:
    """Return what deviates in any turn; a few turns are taken at once."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(chain.from_iterable(pool.map(deviations, range(TIMES))))


def test_chat_and_completions_answer_whole(
    endpoint: Endpoint, asked: Asked, evidence: Evidence
) -> None:
    def deviations(turn: int) -> list[str]:
        found: list[str] = []
        chat = endpoint.chat(f"Say something ({turn}).", max_tokens=MAX_TOKENS, fresh=True)
        text = endpoint.complete(f"Once ({turn})", max_tokens=MAX_TOKENS)
        for name, schema, reply in (("chat", Chat, chat), ("completions", Completion, text)):
            wrong = problems(schema, reply.body, asked=asked) if reply.ok else [reply.why]
            found += [f"{name}: {each}" for each in wrong]
        return found

    found = in_every_turn(deviations)
    evidence.record("answers", TIMES * 2)
    evidence.record("deviations", found[:20])

    assert not found, f"{len(found)} deviations, the first: {found[0]}"


def test_streams_end_with_usage_and_sentinel(
    endpoint: Endpoint, asked: Asked, evidence: Evidence
) -> None:
    def deviations(turn: int) -> list[str]:
        found: list[str] = []
        prompt = f"Count to five ({turn})."
        chat = endpoint.chat(prompt, max_tokens=MAX_TOKENS, stream=True, fresh=True)
        text = endpoint.complete(prompt, max_tokens=MAX_TOKENS, stream=True)
        for name, reply in (("chat", chat), ("completions", text)):
            wrong = stream_problems(reply.events, asked=asked) if reply.ok else [reply.why]
            found += [f"{name} stream: {each}" for each in wrong]
        return found

    found = in_every_turn(deviations)
    evidence.record("streams", TIMES * 2)
    evidence.record("deviations", found[:20])

    assert not found, f"{len(found)} deviations, the first: {found[0]}"


def test_models_lists_the_served_model(
    endpoint: Endpoint, profile: TargetProfile, evidence: Evidence
) -> None:
    reply = endpoint.models()
    evidence.record("models", reply.body)

    assert reply.ok, f"GET /v1/models: {reply.status} {reply.error}"
    assert problems(Models, reply.body) == []
    listed = reply.body["data"] if reply.body else []
    assert profile.engine.model in str(listed)


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"model": 7}', b'{"messages": "hello"}'],
    ids=["cut-off", "array", "model-is-a-number", "messages-is-a-string"],
)
def test_malformed_request_is_refused(
    endpoint: Endpoint, evidence: Evidence, content: bytes
) -> None:
    replies = [endpoint.post_raw("/v1/chat/completions", content) for _ in range(TIMES)]
    evidence.record("statuses", Counter(str(reply.status) for reply in replies))
    wrong = [reply for reply in replies if not 400 <= (reply.status or 0) < 500]

    assert not wrong, (
        f"answered {wrong[0].status or wrong[0].why} to {content!r}, {len(wrong)} of {TIMES} times"
    )
