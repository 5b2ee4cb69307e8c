"""Bad and extreme requests harm nobody else.

Whoever may ask at all may ask anything: half a body, a schema of two thousand fields, a prompt that
is far too long. Each is its sender's mistake and is answered as such; an engine that stumbles over
one takes the answers of all others with it. Some stumble only after they have answered.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest

from fixtures.altered_rows import queued
from fixtures.beside import OVERLOADED_SHARE, Overload
from fixtures.context_limit import ask_words, words_for
from fixtures.liveness import Engines, Told
from fixtures.traffic import wait_for_more
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.cluster import Pod
from hotfire.errors import HarnessError
from hotfire.measure.bands import Bands
from hotfire.measure.history import Request
from hotfire.traffic.runner.launch import LoadReport, RunningLoad

pytestmark = requirement(
    "API-011",
    Level.SHOULD,
    __doc__,
    source="https://owasp.org/API-Security/editions/2023/en/0xa4-unrestricted-resource-consumption/",
)

SECONDS, FEWEST = 6.0, 110
"""Of each part of the load: alone, among them, alone again. A p95 needs a hundred requests."""
ROUNDS = 6
"""Of every request: several replicas serve the model, and one may stumble."""
FIELDS = 2000
ROOM_TOKENS = 48
NOBODY = "no-such-adapter"
Ask = Callable[[Endpoint], Reply]


def schema(fields: int) -> Mapping[str, object]:
    """Return a response format with so many fields."""
    properties = {f"field_{number}": {"type": "string"} for number in range(fields)}
    document = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "json_schema", "json_schema": {"name": "huge", "schema": document}}


BAD: dict[str, Ask] = {
    "half a body": lambda to: to.post_raw("/v1/chat/completions", b'{"model": "'),
    "a list as body": lambda to: to.post_raw("/v1/chat/completions", b"[]"),
    "messages that are none": lambda to: to.chat("?", messages="?", fresh=True),
    "fewer than no tokens": lambda to: to.chat("?", max_tokens=-1, fresh=True),
    "an unknown adapter": lambda to: to.chat("?", model=NOBODY, fresh=True),
}
"""To be answered 4xx."""
EXTREME: dict[str, Ask] = {
    "a huge schema": lambda to: to.chat(
        "?", max_tokens=8, response_format=schema(FIELDS), fresh=True
    ),
    "one token": lambda to: to.complete("a", max_tokens=1, fresh=True),
}
"""To be answered, or refused by 4xx."""


def asked(limit: int, longest: int) -> tuple[dict[str, Ask], dict[str, Ask]]:
    """Return the bad and the extreme requests, with those that the context limit makes so.

    A prompt of ``longest`` words just leaves room for an answer.
    """
    # A word has a token at least.
    beyond = {"a prompt beyond the limit": lambda to: ask_words(to, 2 * limit, 1)}
    up_to = {"a prompt up to the limit": lambda to: ask_words(to, longest, 1)}
    return {**BAD, **beyond}, {**EXTREME, **up_to}


def wrong(replies: Mapping[str, Sequence[Reply]], *, may_succeed: bool) -> dict[str, str]:
    """Return the requests that were not answered as they ought to be, with what came instead."""

    def right(reply: Reply) -> bool:
        refused = reply.status is not None and 400 <= reply.status < 500
        return reply.error is None and (refused or (may_succeed and reply.ok))

    broken = {what: [one for one in some if not right(one)] for what, some in replies.items()}
    return {what: some[0].why for what, some in broken.items() if some}


@dataclass(frozen=True, slots=True)
class Parts:
    """Others' requests: alone at first, among the bad ones, and alone again."""

    before: list[Request]
    among: list[Request]
    after: list[Request]

    @property
    def alone(self) -> list[Request]:
        return [*self.before, *self.after]

    @classmethod
    def of(cls, rows: Sequence[Request], start_ns: int, end_ns: int) -> "Parts":
        return cls(
            before=[row for row in rows if row.sched_ns < start_ns],
            among=[row for row in rows if start_ns <= row.sched_ns <= end_ns],
            after=[row for row in rows if row.sched_ns > end_ns],
        )


def send(client: Endpoint, requests: Mapping[str, Ask]) -> dict[str, list[Reply]]:
    """Send each of them several times, in turn."""
    found: dict[str, list[Reply]] = {what: [] for what in requests}
    for _ in range(ROUNDS):
        for what, ask in requests.items():
            found[what].append(ask(client))
    return found


def harmed(engines: Engines, before: Mapping[str, Told], pods: Sequence[Pod]) -> dict[str, str]:
    """Return the engines that were restarted since, or do not serve any more."""
    found = {}
    for pod in pods:
        now = engines.cluster.pod(pod.namespace, pod.name)
        if engines.told(pod).ended_since(before[pod.name]):
            found[pod.name] = "was restarted, or is being"
        elif now is None or not now.serving:
            found[pod.name] = "does not serve any more"
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What became of bad and extreme requests, of the engines, and of everybody else."""

    wrong: dict[str, str]
    harmed: dict[str, str]
    others: Parts
    report: LoadReport
    overload: float | None
    """For which share of the time (0-1) somebody waited for a CPU here; None: not told."""


@pytest.fixture
def seen(
    profile: TargetProfile,
    endpoint: Endpoint,
    context_limit: int,
    engines: Engines,
    load: Callable[..., RunningLoad],
    evidence: Evidence,
) -> Seen:
    """Bad and extreme requests amid the rated load, which runs before and after them as well."""
    bad, extreme = asked(context_limit, words_for(context_limit - ROOM_TOKENS, endpoint))
    pods = engines.within.serving()
    before = {pod.name: engines.told(pod) for pod in pods}
    running = load(name="API-011")
    fewest = max(FEWEST, round(SECONDS * profile.load.rate_per_second))
    overload = Overload()
    wait_for_more(running, fewest)
    start_ns = time.time_ns()
    refused, answered = send(endpoint, bad), send(endpoint, extreme)
    wait_for_more(running, fewest)
    end_ns = time.time_ns()
    wait_for_more(running, fewest)
    report = running.stop()
    evidence.record("answers", {w: [r.status for r in x] for w, x in (refused | answered).items()})
    return Seen(
        wrong=wrong(refused, may_succeed=False) | wrong(answered, may_succeed=True),
        harmed=harmed(engines, before, pods),
        others=Parts.of(running.rows(), start_ns, end_ns),
        report=report,
        overload=overload.share(),
    )


def test_others_are_served_as_without_them(
    profile: TargetProfile, seen: Seen, evidence: Evidence
) -> None:
    others = seen.others
    bands = Bands.from_baseline(others.alone, profile.budgets, profile.measurement)
    worse = bands.violations(others.among)
    evidence.record("engines_harmed", seen.harmed)
    evidence.record("others_alone_and_among_them", [len(others.alone), len(others.among)])
    evidence.record("worse_than_alone", worse)
    evidence.record("share_of_time_that_waited_for_a_cpu", seen.overload)

    assert not seen.wrong, "; ".join(f"{what}: {why}" for what, why in seen.wrong.items())
    assert not seen.harmed, "; ".join(f"{name} {what}" for name, what in seen.harmed.items())
    seen.report.check()
    if worse and (seen.overload or 0.0) >= OVERLOADED_SHARE:
        raise HarnessError(f"others fared worse, on a machine that was overloaded: {worse[0]}")
    assert not worse, f"others among them: {'; '.join(worse)}"
    check_control(bands, others)


def check_control(bands: Bands, parts: Parts) -> None:
    """Negative control: the same requests without the bad ones, had they waited, are noticed."""
    limit = bands.ttft_p95_seconds
    late = [queued(row, limit) for row in parts.alone] if limit else []
    if not (late and bands.violations(late)):
        raise HarnessError(f"requests that waited {limit} s longer go unnoticed")
