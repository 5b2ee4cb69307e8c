"""A client disconnect frees engine resources within 5 s.

Users close their pages, and retry. Where nobody tells the engine, it generates on for readers who
have gone: the batch is full of them, and whoever waits pays for it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import pytest

from fixtures.dialects import Spoken
from fixtures.engine_metrics import EngineMetrics
from fixtures.stack import CANARY
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.engines.dialect import Series
from hotfire.errors import HarnessError
from hotfire.waiting import eventually, until

pytestmark = requirement(
    "API-005",
    Level.MUST,
    __doc__,
    source="https://docs.vllm.ai/en/latest/usage/metrics.html",
)

WITHIN_SECONDS = 5.0
STREAMS = 20
LEAVE_SECONDS = 3.0
"""When every other client leaves; until then all of them are seen running."""
STAY_SECONDS = 12.0
"""How long the others' streams are to run: until it was seen what became of those."""
MEASURED_TOKENS, MOST_TOKENS = 64, 1900
LEAST_RUNNING_RATIO = 0.8


@dataclass(frozen=True, slots=True)
class Use:
    """What all engines together are busy with."""

    running: float
    kv_cache: float | None
    aborted: float | None


@pytest.fixture
def use(engine_metrics: EngineMetrics, spoken: Spoken) -> Callable[[], Use]:
    """Ask the engines what they are busy with."""

    def asked() -> Use:
        pages = list(engine_metrics().values())

        def total(series: Series | None) -> float | None:
            if series is None:
                return None
            totals = [page.total(series.name, **series.labels) for page in pages]
            told = [value for value in totals if value is not None]
            return sum(told) if pages and len(told) == len(pages) else None

        dialect, counted = spoken.dialect, spoken.series("running")
        running = total(counted)
        if running is None:
            raise HarnessError(f"not every engine tells {counted.name}")
        return Use(running, total(dialect.kv_use), total(dialect.aborted))

    return asked


@pytest.fixture
def leaving(profile: TargetProfile, endpoint: Endpoint) -> Iterator[Endpoint]:
    """A client that closes its connection after a while, whatever has come by then."""
    del endpoint  # it holds the lease until the end of the case
    with Endpoint.of(profile, deadline_seconds=LEAVE_SECONDS) as client:
        yield client


def stream(client: Endpoint, tokens: int) -> Reply:
    return client.complete("Once", max_tokens=tokens, stream=True, ignore_eos=True)


def tokens_of(endpoint: Endpoint) -> int:
    """Return how many tokens a stream of the time that it is to run has, about."""
    seconds = stream(endpoint, MEASURED_TOKENS).seconds
    return min(MOST_TOKENS, round(STAY_SECONDS * MEASURED_TOKENS / seconds))


def test_streams_that_nobody_reads_end_in_the_engine(
    endpoint: Endpoint, leaving: Endpoint, use: Callable[[], Use], evidence: Evidence
) -> None:
    tokens, idle = tokens_of(endpoint), use().running

    def running(least: float, most: float) -> Use | None:
        now = use()
        return now if least <= now.running - idle <= most else None

    with ThreadPoolExecutor(STREAMS) as pool:
        clients = (endpoint, leaving)
        asked = [pool.submit(stream, clients[turn % 2], tokens) for turn in range(STREAMS)]
        busy = until(
            lambda: running(STREAMS * LEAST_RUNNING_RATIO, STREAMS),
            within_seconds=LEAVE_SECONDS,
            what=f"most of {STREAMS} streams running in the engines",
        )
        left = [one.result() for one in asked[1::2]]
        freed = eventually(
            lambda: running(0, STREAMS / 2),
            within_seconds=WITHIN_SECONDS,
        )
        after = freed or use()
        staying = sum(not one.done() for one in asked[::2])
        stayed = [one.result() for one in asked[::2]]
    gone = sum(reply.served_by != CANARY for reply in left)
    evidence.record("with_all_clients", asdict(busy) if busy else None)
    evidence.record("when_half_had_left", asdict(after))
    evidence.record("left_engines", gone)
    evidence.record("still_reading", staying)

    assert freed, (
        f"{WITHIN_SECONDS:g} s after {len(left)} of {STREAMS} clients had left, the engines still"
        f" ran {after.running:g} streams"
    )
    # Negative control: those who stayed are served on; an engine that ended everything freed more.
    broken = [reply.why for reply in stayed if not reply.ok]
    assert not broken, f"{len(broken)} streams of clients who stayed failed: {broken[0]}"
    if not staying:
        raise HarnessError("the other streams had ended too: nothing tells what freed the engines")
