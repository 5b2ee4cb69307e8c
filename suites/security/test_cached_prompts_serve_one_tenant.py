"""One tenant's session and cached prefix are invisible to another.

An engine that has read a prompt before answers sooner and says how much of it was cached. Where all
tenants share that cache, one of them finds out word by word what another has asked: a guess that is
right comes back fast. What a gateway keeps to answer the same question again is no better. So each
tenant has a salt, or an engine, of its own. Chat completions keep no other session than that.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import permutations
from secrets import token_hex

import pytest

from fixtures.callers import PATIENCE_SECONDS, Callers, patient
from hotfire import Evidence, Level, Reply, requirement
from hotfire.errors import HarnessError

pytestmark = requirement(
    "SEC-010",
    Level.SHOULD,
    __doc__,
    source="https://docs.vllm.ai/en/latest/design/prefix_caching.html#cache-isolation-for-security",
    features={"tenants"},
)

ROUNDS = 4
# Several blocks of any cache, and below any limit of context.
WORDS = 96
# So often in a row a prompt is found cached until we believe that every replica has it.
SETTLED, AT_MOST = 6, 60
# A template that all prompts begin with is nobody's secret; what was guessed comes after it.
CACHED_RATIO = 0.5

Ask = Callable[[str], Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two tenants that may use the same model."""

    owner: str
    other: str
    model: str


def pair_of(callers: Callers) -> Pair:
    """Return two tenants with a model in common, rather such without a limit.

    Raises:
        HarnessError: there are none.
    """
    tenants, usual = callers.tenants(), [callers.profile.engine.model]
    names = sorted(tenants, key=lambda name: tenants[name].limit is not None)
    for owner, other in permutations(names, 2):
        theirs = tenants[other].models or usual
        for model in tenants[owner].models or usual:
            if model in theirs:
                return Pair(owner=owner, other=other, model=model)
    raise HarnessError("no two tenants are declared that may use one model; set clients.tenants")


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A prompt that nobody else has, asked by its owner, by another tenant and by its owner."""

    asked: int
    """How often its owner asked before."""
    other: float
    """Which part of it the other tenant was told was cached, 0 to 1."""
    again: float
    """Which part of it its owner was told after that."""
    replayed: bool
    """Whether the other tenant was given an answer that its owner had been given."""


def cached_ratio(reply: Reply) -> float:
    """Return which part of a prompt was cached, 0 to 1; what is not told counts as none.

    Raises:
        HarnessError: it was not answered, or not with its usage.
    """
    usage = reply.usage or {}
    prompt, details = usage.get("prompt_tokens"), usage.get("prompt_tokens_details")
    if not reply.ok or not isinstance(prompt, int) or prompt <= 0:
        raise HarnessError(f"a tenant's question was not answered with its usage: {reply.why}")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return cached / prompt if isinstance(cached, int) else 0.0


def settle(ask: Callable[[], Reply]) -> list[Reply]:
    """Ask until the prompt has been found cached some times in a row, or for long enough."""
    replies: list[Reply] = []
    in_a_row = 0
    while in_a_row < SETTLED and len(replies) < AT_MOST:
        replies.append(ask())
        in_a_row = in_a_row + 1 if cached_ratio(replies[-1]) >= CACHED_RATIO else 0
    return replies


def round_of(owner: Ask, other: Ask) -> Round:
    """Have both ask a prompt that is made up for it."""
    prompt = " ".join(token_hex(2) for _ in range(WORDS))
    before = settle(partial(owner, prompt))
    beside, after = other(prompt), owner(prompt)
    return Round(
        asked=len(before),
        other=round(cached_ratio(beside), 3),
        again=round(cached_ratio(after), 3),
        replayed=identity(beside) in {*map(identity, before)} - {None},
    )


def identity(reply: Reply) -> object:
    """Return what tells an answer from every other one; None: nothing does.

    Two replicas that count their answers may give two of them the same id, yet not at one time.
    """
    body = reply.body or {}
    return (body["id"], body.get("created")) if body.get("id") else None


@pytest.fixture
def rounds(callers: Callers, evidence: Evidence) -> list[Round]:
    pair = pair_of(callers)
    evidence.record("tenants", asdict(pair))

    def asking(name: str) -> Ask:
        def ask(prompt: str) -> Reply:
            with callers.client(callers.tenant(name)) as client:
                chat = partial(client.chat, prompt, max_tokens=1, model=pair.model, fresh=True)
                return patient(chat, PATIENCE_SECONDS)

        return ask

    return [round_of(asking(pair.owner), asking(pair.other)) for _ in range(ROUNDS)]


def test_another_tenant_finds_nothing_cached(rounds: list[Round], evidence: Evidence) -> None:
    evidence.record("rounds", [asdict(one) for one in rounds])

    seen = [one for one in rounds if one.other >= CACHED_RATIO]
    assert not seen, (
        f"{len(seen)} of {len(rounds)} prompts of one tenant were cached for another one, as"
        f" {seen[0].other:.0%} of one: give each tenant a salt (vLLM: cache_salt) at the gateway"
    )
    replayed = sum(one.replayed for one in rounds)
    assert not replayed, f"{replayed} answers to one tenant were given to another one again"
    # Negative control: its owner finds it.
    if lost := [one for one in rounds if one.again < CACHED_RATIO]:
        raise HarnessError(
            f"{len(lost)} of {len(rounds)} prompts were not cached for their owner either: turn on"
            " the prefix cache, and have usage tell of it (vLLM: --enable-prompt-tokens-details)"
        )
