"""Engine metrics count the traffic exactly.

Capacity, cost and every alert are computed from these counters. One replica that nobody scrapes, or
a router whose series are added to the engines', shifts all of them by a constant factor, which no
dashboard shows.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fixtures.dialects import Spoken
from fixtures.stack import CANARY
from fixtures.within_engines import WithinEngines
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.metrics import Metrics, Sample, increase
from hotfire.prometheus import Prometheus
from hotfire.waiting import eventually, pause, until

pytestmark = requirement(
    "OBS-002",
    Level.MUST,
    __doc__,
    source="https://github.com/cncf/k8s-ai-conformance/blob/main/docs/AIConformance-1.34.yaml",
    cncf="observability.ai_service_metrics",
)

REQUESTS = 200
CLIENTS = 8
TOKENS = 8
IDLE_SECONDS = 2.0
# An engine counts a request a moment after its last byte.
COUNTED_WITHIN_SECONDS = 5.0
# Twice a minute, the longest interval in use.
SCRAPED_WITHIN_SECONDS = 120.0
ENGINES, PROMETHEUS = "engines", "prometheus"

Counters = Mapping[str, str]
"""The engines' name of each count."""
Counts = Mapping[str, float | None]
Witness = Callable[[], Metrics]


@pytest.fixture
def counters(spoken: Spoken) -> Counters:
    """By which names the engines count.

    Raises:
        HarnessError: engines of this kind do not count all of it.
    """
    return {
        "requests": spoken.name("requests"),
        "first_tokens": f"{spoken.name('ttft')}_count",
        "prompt_tokens": spoken.name("prompt_tokens"),
        "generated_tokens": spoken.name("generated_tokens"),
    }


def grown(before: Metrics, after: Metrics, counters: Counters) -> Counts:
    """Return how much each counter grew, by raw differences; None where it is not there."""
    return {what: increase(before, after, name) for what, name in counters.items()}


def by_client(replies: list[Reply]) -> Counts:
    """Return what the client knows: each whole answer has one first token, and tells the rest."""
    usages = [reply.usage or {} for reply in replies]
    tokens = {
        what: float(sum(int(str(usage.get(field, 0))) for usage in usages))
        for what, field in (
            ("prompt_tokens", "prompt_tokens"),
            ("generated_tokens", "completion_tokens"),
        )
    }
    return {"requests": float(len(replies)), "first_tokens": float(len(replies)), **tokens}


@pytest.fixture
def witnesses(
    profile: TargetProfile,
    within_engines: WithinEngines,
    prometheus: Prometheus | None,
    spoken: Spoken,
    counters: Counters,
) -> dict[str, Witness]:
    """Who counts: the engines themselves and, where the target file names one, Prometheus."""
    found: dict[str, Witness] = {ENGINES: lambda: told(within_engines, spoken)}
    if prometheus is not None:
        models = "|".join([profile.engine.model, *profile.engine.aliases])
        label = spoken.dialect.model_label
        # What knows no models is scraped with whatever else is of its kind.
        of_model = f'{label}=~"{models}"' if label else ""
        found[PROMETHEUS] = lambda: scraped(prometheus, counters, of_model)
    return found


def told(within_engines: WithinEngines, spoken: Spoken) -> Metrics:
    """Return what the engines themselves count, as one scrape, each series with its pod."""
    pages = within_engines.pages()
    scrapes = {pod: spoken.read(pod, page.text) for pod, page in pages.items()}
    samples = tuple(
        replace(sample, labels={**sample.labels, "pod": pod})
        for pod, scrape in scrapes.items()
        for sample in scrape.samples
    )
    return Metrics(samples, damaged=frozenset().union(*(one.damaged for one in scrapes.values())))


def scraped(server: Prometheus, counters: Counters, of_model: str) -> Metrics:
    """Return what Prometheus has of these counters, scraped after this call."""
    names, began = "|".join(counters.values()), time.time()

    def fresh() -> bool:
        stamps = server.query(f"timestamp({counters['first_tokens']}{{{of_model}}})")
        return bool(stamps) and min(one.value for one in stamps) >= began

    until(
        fresh,
        within_seconds=SCRAPED_WITHIN_SECONDS,
        what=f"{server.url} to scrape every engine ({counters['first_tokens']}{{{of_model}}})",
        poll_seconds=0.5,
    )
    besides = f", {of_model}" if of_model else ""
    found = server.query(f'{{__name__=~"{names}"{besides}}}')
    samples = [(dict(one.labels), one.value) for one in found]
    return Metrics(
        tuple(
            Sample(name=labels.pop("__name__"), value=value, labels=labels)
            for labels, value in samples
        )
    )


def begin_to_count(within_engines: WithinEngines) -> None:
    """Have each engine answer once: some tell a count only after there is something to count."""
    for pod in within_engines.serving():
        within_engines.answer(pod)


def look(witnesses: Mapping[str, Witness]) -> dict[str, Metrics]:
    return {name: witness() for name, witness in witnesses.items()}


def ask(endpoint: Endpoint, profile: TargetProfile) -> list[Reply]:
    """Send every request, every other one as a stream; return what engines answered.

    Raises:
        HarnessError: an answer broke or does not tell its tokens, or nobody knows who gave it.
    """

    def one(number: int) -> Reply:
        question = f"What is {number} plus {number}?"
        return endpoint.chat(question, max_tokens=TOKENS, stream=number % 2 == 0)

    with ThreadPoolExecutor(CLIENTS) as pool:
        replies = list(pool.map(one, range(REQUESTS)))
    if broken := [reply.why for reply in replies if not reply.ok]:
        raise HarnessError(f"{len(broken)} of {REQUESTS} answers broke, the first: {broken[0]}")
    if silent := sum(reply.usage is None for reply in replies):
        raise HarnessError(f"{silent} of {REQUESTS} answers do not tell their usage")
    engines = [reply for reply in replies if reply.served_by != CANARY]
    if "canary" in profile.claims and len(engines) == len(replies):
        raise HarnessError("the canary's answers do not say whose they are; see x-served-by")
    return engines


def test_every_witness_counts_what_the_client_got(
    profile: TargetProfile,
    endpoint: Endpoint,
    within_engines: WithinEngines,
    witnesses: dict[str, Witness],
    counters: Counters,
    evidence: Evidence,
) -> None:
    begin_to_count(within_engines)
    first = look(witnesses)
    pause(IDLE_SECONDS, why="a window in which nobody asks anything")
    before = look(witnesses)
    client = by_client(ask(endpoint, profile))

    def engines_counted() -> bool:
        return grown(before[ENGINES], witnesses[ENGINES](), counters) == client

    eventually(engines_counted, within_seconds=COUNTED_WITHIN_SECONDS)
    after = look(witnesses)
    idle = {name: grown(first[name], before[name], counters) for name in witnesses}
    counts = {name: grown(before[name], after[name], counters) for name in witnesses}
    evidence.record("client", client)
    evidence.record("counted", counts)
    evidence.record("counted_while_idle", idle)
    check_control(idle)

    for witness, found in counts.items():
        for what, count in found.items():
            if count is None:
                raise HarnessError(f"{witness} have no {counters[what]}; nothing to compare with")
            assert count == client[what], (
                f"{witness} counted {count:g} {what.replace('_', ' ')}, the client got"
                f" {client[what]:g}"
            )


def check_control(idle: Mapping[str, Counts]) -> None:
    """Negative control: without a request nothing grows, else somebody else asks too."""
    for witness, found in idle.items():
        if busy := {what: count for what, count in found.items() if count}:
            raise HarnessError(f"{witness} counted {busy} while we asked nothing; be alone there")
