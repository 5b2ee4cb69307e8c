"""The declared context limit is in force.

Users cut their documents to the limit that they were told. An engine that refuses earlier turns
them away; one that takes more than was planned for has less memory for everybody else, up to
preemptions. A limit that was set where the engine does not look is found by neither until then.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import pytest

from fixtures.context_limit import ask_words, prompt_tokens, told, words_for
from fixtures.own_backends import HEADER, StartBackends, scripted_engine
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.errors import HarnessError

pytestmark = requirement(
    "API-008",
    Level.MUST,
    __doc__,
    source="https://docs.vllm.ai/en/latest/configuration/engine_args.html",
)

ROOM_TOKENS = 48
"""Left for the answer, so that the model's own count of the prompt can be completed exactly."""
TIMES = 12
"""Of each request: several replicas serve the model, and each has its own settings."""
OTHERS, OTHER_TOKENS = 4, 64
# A backend of ours, told half of the declared limit.
HALF = "half-the-limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """What became of requests around the limit."""

    limit: int
    at_limit: list[Reply]
    """Prompt and answer together have as many tokens as are allowed."""
    answer_beyond: list[Reply]
    """One token more was asked for. To give less is as good as to refuse: no limit is broken."""
    prompt_beyond: list[Reply]
    """The prompt alone has more."""

    @property
    def refused(self) -> list[Reply]:
        return [reply for reply in self.at_limit if not reply.ok]

    @property
    def let_in(self) -> list[Reply]:
        longer = [one for one in self.answer_beyond if (total_tokens(one) or 0) > self.limit]
        return longer + [one for one in self.prompt_beyond if one.status != 400]


@pytest.fixture
def half(own_backends: StartBackends, profile: TargetProfile, context_limit: int) -> None:
    engine = scripted_engine(HALF, profile.engine.model, max_model_len=context_limit // 2)
    own_backends({HALF: engine})


def ask(endpoint: Endpoint, words: int, tokens: int, backend: str | None = None) -> Reply:
    return ask_words(endpoint, words, tokens, {HEADER: backend} if backend else None)


def total_tokens(reply: Reply) -> int | None:
    return told(reply, "total_tokens")


def boundary(endpoint: Endpoint, limit: int, words: int, n_in: int) -> Boundary:
    """Ask on both sides of the limit; a prompt of so many words has ``n_in`` tokens."""
    room = limit - n_in
    return Boundary(
        limit=limit,
        at_limit=[ask(endpoint, words, room) for _ in range(TIMES)],
        answer_beyond=[ask(endpoint, words, room + 1) for _ in range(TIMES)],
        # A word has a token at least.
        prompt_beyond=[ask(endpoint, words + room + 1, 1) for _ in range(TIMES)],
    )


def stream_until(endpoint: Endpoint, over: Event) -> list[Reply]:
    """Ask for one stream after the other until it is over."""
    replies: list[Reply] = []
    while not over.is_set():
        replies.append(endpoint.chat("Count.", max_tokens=OTHER_TOKENS, stream=True))
    return replies


def test_limit_length_is_accepted_and_one_token_more_is_not(
    endpoint: Endpoint, context_limit: int, half: None, evidence: Evidence
) -> None:
    limit = context_limit
    words = words_for(limit - ROOM_TOKENS, endpoint)
    n_in = prompt_tokens(ask(endpoint, words, 1))
    over = Event()
    with ThreadPoolExecutor(OTHERS) as pool:
        others = [pool.submit(stream_until, endpoint, over) for _ in range(OTHERS)]
        try:
            found = boundary(endpoint, limit, words, n_in)
        finally:
            over.set()
    streams = [reply for one in others for reply in one.result()]
    disturbed = [reply.why for reply in streams if not reply.ok]
    evidence.record("limit_tokens", limit)
    evidence.record("prompt_tokens", n_in)
    evidence.record("refused_at_the_limit", len(found.refused))
    evidence.record("let_in_beyond_it", len(found.let_in))
    evidence.record("other_streams", len(streams))
    evidence.record("others_disturbed", disturbed)

    assert not found.refused, f"{limit} tokens in all were refused: {found.refused[0].why}"
    assert not found.let_in, (
        f"{len(found.let_in)} requests of more than {limit} tokens were not refused; one was"
        f" answered {found.let_in[0].status}, {total_tokens(found.let_in[0])} tokens in all"
    )
    assert not disturbed, f"{len(disturbed)} other streams failed meanwhile: {disturbed[0]}"
    # Negative control: a copy with half the limit must be seen refusing earlier.
    control = ask(endpoint, words, 1, HALF)
    evidence.record("half_the_limit_answers", control.status)
    if control.ok:
        raise HarnessError(f"a backend with half the limit took a prompt of {n_in} tokens")
