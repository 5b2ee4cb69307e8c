"""What is said in each request of a plan: lengths, texts and the turns of conversations."""

import random
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate

from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.prompts import Draws, Lengths, Tenant, draws
from hotfire.traffic.workload.trace import MOONCAKE_BLOCK_TOKENS, TraceRow

WORDS = (  # noqa: SIM905 - fifty quoted words read worse
    "engine fire test stand valve pump line fuel tank nozzle thrust burn flow heat gauge record"
    " signal launch count hold start stop cold hot wind cloud river stone paper light sound wave"
    " north south early late quick slow small large open close bring carry write read learn teach"
).split()
POOL_WORDS = 4096
BLOCK_WORDS_KEPT = 4096 * MOONCAKE_BLOCK_TOKENS
"""Words of a trace's prompt blocks kept in memory: 12 MB."""


class Pool:
    """A long random text of which every prompt is a window."""

    def __init__(self, seed: int, longest: int) -> None:
        chance = random.Random(f"pool:{seed}")  # noqa: S311 - reproducible, not secret
        words = chance.choices(WORDS, k=POOL_WORDS + longest)
        self.text = " ".join(words)
        self.starts = [0, *accumulate(len(word) + 1 for word in words)]

    def window(self, where: float, words: int) -> str:
        """Return so many words from a place; ``where`` is in [0, 1)."""
        first = int(where * POOL_WORDS)
        return self.text[self.starts[first] : self.starts[first + words] - 1]


class Texts:
    """Every prompt of one plan, by its id; the same id gives the same text, always."""

    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan = plan.self_contained()
        self.prompts = plan.prompts
        self.block_words = plan.trace_block_tokens or MOONCAKE_BLOCK_TOKENS
        self.pool = Pool(plan.seed, self._longest())
        self.tenants = plan.tenants or (Tenant(name="-"),)
        self.weights = list(accumulate(tenant.weight for tenant in self.tenants))
        self._key = f"{plan.nonce}:{plan.seed}"
        self._block = lru_cache(max(1, BLOCK_WORDS_KEPT // self.block_words))(self._make_block)

    def _longest(self) -> int:
        plan = self.plan
        longest = [plan.prompt_words, plan.max_tokens, self.block_words]
        longest += [row.input_tokens for row in plan.trace_rows if not row.hash_ids]
        longest += [row.output_tokens for row in plan.trace_rows]
        given = [lengths for lengths in (plan.input_words, plan.output_tokens) if lengths]
        return max(longest + [max(lengths.most, lengths.typical) for lengths in given])

    # What chance decides.

    def draws(self, prompt_id: int) -> Draws:
        """Return the chance of one request."""
        return draws(f"{self._key}:{prompt_id}")

    def tenant(self, prompt_id: int) -> str:
        """Return the name of who sends a request; empty where the plan names nobody."""
        return self.tenants[self.sender(self.draws(prompt_id))].name if self.plan.tenants else ""

    def sender(self, chance: Draws) -> int:
        """Return the place of the tenant who sends it."""
        if len(self.weights) == 1:
            return 0
        return bisect_right(self.weights, chance.tenant * self.weights[-1])

    def _row(self, lengths: Lengths | None, prompt_id: int, chance: float) -> TraceRow | None:
        """Return the recorded request whose lengths apply, if the plan has one."""
        rows = self.plan.trace_rows
        if rows and lengths is None and self.plan.process == "trace":
            return rows[prompt_id % len(rows)]
        if rows and lengths and lengths.distribution == "trace":
            return rows[int(chance * len(rows))]
        return None

    def words(self, prompt_id: int, chance: Draws) -> int:
        """Return the length of the prompt in words."""
        lengths = self.plan.input_words
        if row := self._row(lengths, prompt_id, chance.input_length):
            return row.input_tokens
        if lengths is None:
            return self.plan.prompt_words
        return lengths.draw(chance.input_length, chance.input_other)

    def max_tokens(self, prompt_id: int, chance: Draws) -> int:
        """Return the output tokens to ask for."""
        lengths = self.plan.output_tokens
        if row := self._row(lengths, prompt_id, chance.output_length):
            return row.output_tokens
        if lengths is None:
            return self.plan.max_tokens
        return lengths.draw(chance.output_length, chance.output_other)

    # Texts.

    def prompt(self, prompt_id: int) -> str:
        """Return what the user says in this request; of a conversation, in its last turn.

        It starts with a nonce unless a prefix is to be shared, so that a prefix cache cannot
        flatten TTFT.
        """
        return self.say(prompt_id, self.draws(prompt_id))

    def expected(self, prompt_id: int) -> str | None:
        """Return what a faithful answer contains; None where that is not known."""
        return self.draws(prompt_id).nonce if self.prompts.source == "echo" else None

    def say(self, prompt_id: int, chance: Draws) -> str:
        """Return the same where the chance is known already."""
        if self.prompts.source == "texts":
            return self.prompts.texts[prompt_id % len(self.prompts.texts)]
        if self.prompts.source == "echo":
            return f"{chance.nonce} Repeat the first word of this message, and nothing else."
        words = self.words(prompt_id, chance)
        row = self._row(self.plan.input_words, prompt_id, chance.input_length)
        if row and row.hash_ids and self.plan.input_words is None:
            return self._blocks(row.hash_ids, words)
        if self.prompts.prefix_ratio:
            return self._prefixed(chance, words)
        return f"{chance.nonce} {self.pool.window(chance.words, words)}"

    def _prefixed(self, chance: Draws, words: int) -> str:
        group = draws(f"{self._key}:group:{int(chance.group * self.prompts.prefix_groups)}")
        shared = round(words * self.prompts.prefix_ratio)
        parts = [group.nonce]
        if shared:
            parts.append(self.pool.window(group.words, shared))
        if words - shared:
            parts += [chance.nonce, self.pool.window(chance.words, words - shared)]
        return " ".join(parts)

    def _blocks(self, hash_ids: tuple[int, ...], words: int) -> str:
        size = self.block_words
        blocks = [self._block(block) for block in hash_ids]
        last = words - size * (len(blocks) - 1)
        if 0 < last < size:
            blocks[-1] = " ".join(blocks[-1].split(" ")[:last])
        return " ".join(blocks)

    def _make_block(self, block: int) -> str:
        chance = draws(f"{self._key}:block:{block}")
        size = self.block_words
        return (
            f"{chance.nonce} {self.pool.window(chance.words, size - 1)}"
            if size > 1
            else chance.nonce
        )

    def messages(self, prompt_id: int) -> list[tuple[str, str]]:
        """Return role and text of each message, the former turns of a conversation first."""
        at_a_time = self.prompts.conversations
        round_, within = divmod(prompt_id, at_a_time * self.prompts.turns)
        turn, conversation = divmod(within, at_a_time)
        first = round_ * at_a_time * self.prompts.turns + conversation
        said: list[tuple[str, str]] = []
        for former in range(first, first + turn * at_a_time, at_a_time):
            chance = self.draws(former)
            answer = self.pool.window(chance.group, self.max_tokens(former, chance))
            said += [("user", self.say(former, chance)), ("assistant", answer)]
        return [*said, ("user", self.prompt(prompt_id))]
