"""HTTPRoute weights hold as token share for any length mix.

Work is tokens, not requests. A gateway that keeps long prompts on one version, as routing by their
prefix does, keeps the count of requests and gives one version most of the work: a candidate is then
judged by the short ones. Who was served by whom must be independent of the length, which a
permutation test tells at the chance of a false alarm of every count.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fixtures.route_weights import RouteWeights, answered_by
from fixtures.stack import CANARY
from hotfire import Endpoint, Evidence, Level, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.measure.counts import AcceptedCounts, accepted_sums

pytestmark = requirement(
    "GTW-003",
    Level.MUST,
    __doc__,
    source="https://gateway-api.sigs.k8s.io/guides/traffic-splitting/",
    cncf="networking.ai_inference",
    features={"canary"},
)

WEIGHT, REQUESTS = 50, 1000
MIX = {32: 400, 128: 300, 512: 200, 2048: 100}
"""Requests by the tokens of their prompts: most are short, most of the work is long."""
TOKENS_A_WORD = 4
"""At most; what the target's own tokenizer makes of the words is told by ``usage``."""
CLIENTS = 4


@dataclass(frozen=True, slots=True)
class Served:
    """One request: the words of its prompt, the tokens that it had, and who answered."""

    words: int
    tokens: int
    by: str


def lengths(context_tokens: int | None) -> list[int]:
    """Return the words of each prompt, shuffled, none beyond what the model takes."""
    most = (context_tokens or max(MIX) * TOKENS_A_WORD) // TOKENS_A_WORD
    found = [min(words, most) for words, count in MIX.items() for _ in range(count)]
    random.Random(0).shuffle(found)  # noqa: S311 - reproducible, not secret
    return found


def ask(endpoint: Endpoint, turn: int, words: int) -> Served:
    prompt = " ".join(["a"] * words)
    reply = endpoint.complete(prompt, max_tokens=1, fresh=bool(turn % 2))
    tokens = (reply.usage or {}).get("prompt_tokens")
    return Served(words, tokens if isinstance(tokens, int) else 0, answered_by(reply))


def judged(served: Iterable[Served], tokens: Mapping[int, int]) -> tuple[int, AcceptedCounts]:
    """Return the canary's tokens, and what it may get whatever the lengths."""
    rows = list(served)
    mine = [one for one in rows if one.by == CANARY]
    sizes = Counter(tokens[one.words] for one in rows)
    return sum(tokens[one.words] for one in mine), accepted_sums(sizes, len(mine))


def test_canary_s_share_of_tokens_is_independent_of_length(
    endpoint: Endpoint, weights: RouteWeights, profile: TargetProfile, evidence: Evidence
) -> None:
    weights.follow(WEIGHT)
    with ThreadPoolExecutor(CLIENTS) as pool:
        words = lengths(profile.engine.context_tokens)
        everyone = list(pool.map(lambda each: ask(endpoint, *each), enumerate(words)))
    served = [one for one in everyone if one.by != "nobody"]
    tokens = {one.words: one.tokens for one in served}
    got, accepted = judged(served, tokens)
    evidence.record("tokens_by_words", tokens)
    evidence.record("answered", Counter(one.by for one in everyone))
    evidence.record("canary_tokens", got)
    evidence.record("accepted_tokens", str(accepted))

    assert len(served) >= 0.99 * REQUESTS, f"{REQUESTS - len(served)} of {REQUESTS} requests failed"
    assert got in accepted, (
        f"the canary got {got} tokens with its requests, of any length mix it may get {accepted}"
    )
    # Negative control: the longest ones relabelled to one version must not look well.
    relabelled, beyond = judged(longest_to_canary(served), tokens)
    evidence.record("control_canary_tokens", relabelled)
    if min(tokens.values()) == 0 or relabelled in beyond:
        raise HarnessError(f"{relabelled} tokens, all long ones of them, agree with {beyond} too")


def longest_to_canary(served: list[Served]) -> list[Served]:
    """Return the same requests as if the canary had answered as many, and all of the longest."""
    count = sum(one.by == CANARY for one in served)
    ordered = sorted(served, key=lambda one: one.words, reverse=True)
    who = [CANARY] * count + ["stable"] * (len(ordered) - count)
    return [Served(one.words, one.tokens, by) for one, by in zip(ordered, who, strict=True)]
