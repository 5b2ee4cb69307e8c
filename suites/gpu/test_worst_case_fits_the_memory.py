"""The engine's admitted worst case fits its memory.

An engine promises a length and a number at once. Memory that was measured with short prompts is
enough until the day on which everybody sends long ones, and then it ends with all of them. Within
what it admits it may make requests wait, or begin anew, which it counts.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from time import monotonic

import pytest

from fixtures.dialects import Spoken
from fixtures.liveness import Engines
from fixtures.long_streams import tokens_for
from fixtures.scratch import Scratch
from fixtures.within_engines import at_once
from hotfire import Endpoint, Evidence, Level, requirement
from hotfire.cluster import Pod
from hotfire.errors import HarnessError
from hotfire.measure.history import Request
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import eventually, until

pytestmark = requirement(
    "GPU-009",
    Level.MUST,
    __doc__,
    source="https://docs.vllm.ai/en/latest/configuration/optimization.html#preemption",
)

HELD_SECONDS = 15.0
ANSWER_SECONDS = 2.0
"""So long that those of the longest prompts are there together."""
BEYOND = 1.125
"""More than are admitted: replicas get unequal shares of them."""
SAMPLE_WORDS, SAMPLES = 200, 4
# Of the longest prompt: words differ in their tokens.
FULL, NEARLY_FULL = 0.95, 0.8
# Long prompts are read before the first token is made.
LONGEST_SECONDS = 300.0
CONTROL_SECONDS = 60.0
# For any limit.
TOO_MUCH = ["python3", "-c", "kept = []\nwhile True: kept.append(b'x' * (1 << 20))"]


@dataclass(slots=True, kw_only=True)
class Pressed:
    """What engines did under the worst case, by name."""

    spoken: Spoken
    admitted: Mapping[str, int]
    running: dict[str, float] = field(default_factory=dict)
    """Most at once."""
    queued: set[str] = field(default_factory=set)
    """Those with which somebody had to wait."""
    preempted: dict[str, float | None] = field(default_factory=dict)
    """Since their start; None: it is not told."""

    def read(self, name: str, text: str) -> None:
        """Take what an engine's metrics page tells."""
        spoken = self.spoken
        page, running = spoken.read(name, text), spoken.series("running")
        waiting = spoken.series("waiting")
        now = page.total(running.name, **running.labels) or 0.0
        self.running[name] = max(now, self.running.get(name, 0.0))
        if page.total(waiting.name, **waiting.labels):
            self.queued.add(name)
        if preempted := spoken.dialect.preemptions:
            self.preempted[name] = page.total(preempted.name, **preempted.labels)

    @property
    def unpressed(self) -> list[str]:
        """Engines that were never asked for all that they admit."""
        return [
            f"{name} worked on {self.running.get(name, 0.0):g} of {count} at once"
            for name, count in self.admitted.items()
            if self.running.get(name, 0.0) < count and name not in self.queued
        ]


def ended(before: Pod, now: Pod | None) -> str:
    """Return how a pod ended since it was looked at before; empty: it did not."""
    if now is None or now.uid != before.uid:
        return f"{before.name} was replaced"
    over = any(one.state == "terminated" for one in now.containers)
    if now.restarts == before.restarts and not over:
        return ""
    reasons = [one.last_terminated_reason for one in now.containers if one.last_terminated_reason]
    return f"{before.name} ended: {', '.join(reasons) or 'nothing tells why'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCase:
    """As many requests as engines admit at once, each as long as it may be."""

    engines: Engines
    load: Callable[..., RunningLoad]
    limit: int
    """Of prompt and answer together, in tokens."""
    answer: int

    def press(self, pods: list[Pod]) -> tuple[Pressed, list[Request]]:
        """Hold it for a while, or until an engine has ended; return what was seen of it."""
        admitted = {pod.name: at_once(self.engines.within.command_lines(pod)) for pod in pods}
        pressed = Pressed(spoken=self.engines.within.spoken, admitted=admitted)
        count, words = self._count(admitted), self._words()
        running, since = self._requests("", words, self.answer, count), monotonic()

        def over() -> bool:
            self._look(pressed, pods)
            held = monotonic() - since > HELD_SECONDS and len(running.rows()) >= count
            return held or bool(self.ended(pods))

        until(over, within_seconds=LONGEST_SECONDS, what=f"{count} of the longest requests ended")
        running.stop()
        return pressed, running.rows()

    def _look(self, pressed: Pressed, pods: list[Pod]) -> None:
        """Read what each engine tells; one that is gone tells nothing, and is judged for that."""
        for pod in pods:
            with suppress(HarnessError):
                pressed.read(pod.name, self.engines.within.page(pod).text)

    def ended(self, pods: list[Pod]) -> list[str]:
        """Return how engines ended that were looked at before."""
        now = [self.engines.cluster.pod(pod.namespace, pod.name) for pod in pods]
        return [why for pod, one in zip(pods, now, strict=True) if (why := ended(pod, one))]

    def refusals(self, pods: list[Pod]) -> set[str]:
        """Return the lines in engines' logs by which a device refused them memory."""
        words = self.engines.within.spoken.dialect.out_of_memory
        return {
            f"{pod.name}: {line}"
            for pod in pods
            for line in self._log(pod).splitlines()
            if any(word in line for word in words)
        }

    def _log(self, pod: Pod) -> str:
        container = self.engines.profile.engine.container
        return self.engines.cluster.logs(
            pod.namespace, pod.name, container=container, timestamps=True
        )

    def _count(self, admitted: Mapping[str, int]) -> int:
        wanted = round(BEYOND * sum(admitted.values()))
        return min(wanted, self.engines.profile.load.most_at_once or wanted)

    def _words(self) -> int:
        """Return how many words make nearly the longest prompt.

        Raises:
            HarnessError: the target does not tell how many tokens a prompt has.
        """
        few = self._requests("-words", SAMPLE_WORDS, 1, 1)
        until(lambda: len(few.rows()) >= SAMPLES, within_seconds=60, what="prompts to be counted")
        few.stop()
        counts = [row.n_in for row in few.rows() if row.n_in]
        if not counts:
            raise HarnessError("the length of a prompt is not told: usage has no prompt_tokens")
        room = FULL * (self.limit - self.answer)
        return max(1, int(room * SAMPLE_WORDS / median(counts)))

    def _requests(self, name: str, words: int, answer: int, count: int) -> RunningLoad:
        return self.load(
            name=f"GPU-009{name}",
            mode="closed",
            workers=1,
            concurrency=count,
            in_flight_cap=2 * count,
            prompt_words=words,
            max_tokens=answer,
            stream=False,
            deadline_seconds=LONGEST_SECONDS,
            grace_seconds=0.5,
        )


@pytest.fixture
def worst_case(
    engines: Engines, endpoint: Endpoint, context_limit: int, load: Callable[..., RunningLoad]
) -> WorstCase:
    answer = min(tokens_for(endpoint, ANSWER_SECONDS), context_limit // 4)
    return WorstCase(engines=engines, load=load, limit=context_limit, answer=answer)


def test_as_many_of_the_longest_prompts_as_are_admitted(
    worst_case: WorstCase, scratch: Scratch, evidence: Evidence
) -> None:
    pods = worst_case.engines.within.serving()
    known = worst_case.refusals(pods)
    pressed, rows = worst_case.press(pods)
    gone, refused = worst_case.ended(pods), worst_case.refusals(pods) - known
    longest = max(((row.n_in or 0) + (row.n_out or 0) for row in rows), default=0)
    evidence.record("admitted", pressed.admitted)
    evidence.record("most_running", pressed.running)
    evidence.record("preempted_since_start", pressed.preempted)
    evidence.record("longest_tokens", longest)
    evidence.record("answers", {"all": len(rows), "failed": sum(row.failed for row in rows)})
    assert not gone, f"{gone[0]}, of {worst_case.limit} tokens for each of {pressed.admitted}"
    assert not refused, f"a device refused memory: {min(refused)}"
    if longest < NEARLY_FULL * worst_case.limit:
        raise HarnessError(f"{longest} tokens were the longest, {worst_case.limit} are allowed")
    if pressed.unpressed:
        raise HarnessError("; ".join(pressed.unpressed))
    check_control(worst_case, scratch)


def check_control(worst_case: WorstCase, scratch: Scratch) -> None:
    """Negative control: a pod of ours whose memory is too small ends of it, by the same look."""
    scratch.pod("too-small", argv=TOO_MUCH, spec_besides={"restartPolicy": "OnFailure"})
    own = [scratch.get("too-small")]
    found = eventually(
        lambda: any("OOMKilled" in why for why in worst_case.ended(own)),
        within_seconds=CONTROL_SECONDS,
    )
    if not found:
        raise HarnessError(f"too-small was to run out of memory: {worst_case.ended(own)}")
