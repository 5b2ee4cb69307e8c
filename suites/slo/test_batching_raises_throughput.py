"""Batching raises throughput with concurrency up to the rated point.

An engine that answers one request after the other gives each of them the best times there are, and
a fraction of what its accelerator could. Whoever measures a single stream sees nothing of that, nor
does whoever counts what all replicas do together. So the same question is asked by one client, two,
four and so on, each again as soon as it has its answer, up to as many as the rated load has in
flight where answers take as long as was promised; and it is told for each engine how much more
comes of that.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from statistics import median

import pytest

from fixtures.beside import OVERLOADED_SHARE, Overload
from fixtures.own_backends import HEADER, StartBackends, scripted_engine
from fixtures.stack import Stack
from hotfire import Endpoint, Evidence, Level, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.measure.history import Request
from hotfire.measure.request_times import ttft_seconds
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.workload.limits import GateLimits

pytestmark = requirement(
    "SLO-003",
    Level.SHOULD,
    __doc__,
    source="https://www.usenix.org/conference/osdi22/presentation/yu",
)

GAIN = 2.0
REFERENCE_RATIO = 0.85
# Fewer at a time give an engine nothing to batch.
LEAST_PER_ENGINE = 4
FAILED_RATIO = 0.02
# In answers: streams have come out of step by then, and that many more are enough to count.
SETTLED, COUNTED = 2, 5
LEAST_SECONDS = 2.0
# What a client that is late by so much of an answer's time takes from throughput.
LATE_RATIO = 0.1
SAMPLES = 3
# An engine of ours that takes one at a time, whose answers take a fifth of a second.
ONE_BY_ONE, AT_A_TIME = "one-by-one", 4
CONTROL_TOKENS, CONTROL_SECONDS = 4, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What came of so many clients at a time."""

    concurrency: int
    answers: int
    """Complete ones that ended while it was counted."""
    seconds: float
    ttft_seconds: float
    """Median of these; what waits for its turn waits here."""
    failed_ratio: float

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds


def stage_of(rows: Sequence[Request], concurrency: int, begin_ns: int, end_ns: int) -> Stage:
    """Return what ended between two moments.

    Raises:
        HarnessError: nothing did, or too much of it failed.
    """
    ended = [row for row in rows if row.end_ns and begin_ns <= row.end_ns < end_ns]
    whole = [row for row in ended if row.complete]
    failed_ratio = sum(row.failed for row in ended) / len(ended) if ended else 1.0
    firsts = [seconds for row in whole if (seconds := ttft_seconds(row)) is not None]
    if failed_ratio > FAILED_RATIO or not firsts:
        raise HarnessError(
            f"of {len(ended)} answers to {concurrency} clients at a time {failed_ratio:.0%} failed:"
            " what they make of concurrency cannot be told"
        )
    return Stage(
        concurrency=concurrency,
        answers=len(whole),
        seconds=(end_ns - begin_ns) / 1e9,
        ttft_seconds=round(median(firsts), 4),
        failed_ratio=round(failed_ratio, 4),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Asks again and again, as many at a time as it is told."""

    load: Callable[..., RunningLoad]
    answer_seconds: float
    """What one answer takes that nobody else is beside."""
    workers: int

    def stage(self, concurrency: int, **changes: object) -> Stage:
        """Return what comes of so many; ``changes`` are fields of the load's plan.

        Raises:
            HarnessError: we were not fit to keep them busy, or answers failed.
        """
        settle = SETTLED * self.answer_seconds
        duration = settle + max(LEAST_SECONDS, COUNTED * self.answer_seconds)
        late = LATE_RATIO * self.answer_seconds
        running = self.load(
            name=f"SLO-003-{concurrency}",
            mode="closed",
            concurrency=concurrency,
            workers=min(concurrency, self.workers),
            start_spread_seconds=self.answer_seconds,
            duration_seconds=duration,
            grace_seconds=self.answer_seconds,
            # Answers are counted, not timed.
            gates=GateLimits(lag_p99_seconds=late, lateness_p99_seconds=late, gc_pause_seconds=0.1),
            **changes,
        )
        running.wait_finished(duration + self.answer_seconds + 60).check()
        begin, end = (running.t0_ns + round(at * 1e9) for at in (settle, duration))
        return stage_of(running.rows(), concurrency, begin, end)


@pytest.fixture
def clients(
    endpoint: Endpoint, profile: TargetProfile, load: Callable[..., RunningLoad]
) -> Clients:
    tokens = profile.load.max_tokens
    replies = [
        endpoint.chat("?", max_tokens=tokens, stream=True, ignore_eos=True) for _ in range(SAMPLES)
    ]
    if broken := [reply.why for reply in replies if not reply.ok]:
        raise HarnessError(f"{len(broken)} of {SAMPLES} single questions failed: {broken[0]}")
    usual = median(reply.seconds for reply in replies)
    return Clients(load=load, answer_seconds=usual, workers=profile.load.workers)


def rated_concurrency(profile: TargetProfile) -> int:
    """Return how many requests the rated load has in flight, by Little's law and the promise.

    Raises:
        HarnessError: it is not promised how long an answer takes.
    """
    load, budgets = profile.load, profile.budgets
    promised = budgets.e2e_p95_seconds or budgets.e2e_p99_seconds or _by_tokens(profile)
    if promised is None:
        raise HarnessError("no budget says how long an answer may take; set e2e_p95_seconds")
    wanted = ceil(load.rate_per_second * promised)
    return min(wanted, load.most_at_once or wanted)


def _by_tokens(profile: TargetProfile) -> float | None:
    budgets = profile.budgets
    first = budgets.ttft_p95_seconds or budgets.ttft_p99_seconds
    each = budgets.tpot_p95_seconds or budgets.tpot_p99_seconds
    return first + (profile.load.max_tokens - 1) * each if first and each else None


def doubled(most: int) -> Iterator[int]:
    """Yield 1, 2, 4 and so on, and the most at last."""
    concurrency = 1
    while concurrency < most:
        yield concurrency
        concurrency *= 2
    yield most


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What came of more and more clients, up to the rated point."""

    engines: int
    stages: Sequence[Stage]
    overload: float | None
    """For which share of the last stage somebody waited for a CPU, if the engines compute here."""

    @property
    def single(self) -> Stage:
        return self.stages[0]

    @property
    def rated(self) -> Stage:
        return self.stages[-1]

    @property
    def gain(self) -> float:
        """How many times as much an engine makes at the rated point; a single stream has one."""
        return self.rated.per_second / (self.engines * self.single.per_second)

    def tell(self, evidence: Evidence) -> None:
        told = [asdict(one) | {"per_second": one.per_second} for one in self.stages]
        evidence.record("stages", told)
        evidence.record("engines", self.engines)
        evidence.record("gain_per_engine", round(self.gain, 3))
        evidence.record("machine_overloaded_share", self.overload)

    def require_room(self) -> None:
        """Refuse to blame engines for a machine that is used up.

        Raises:
            HarnessError: they share it with their clients, and it is.
        """
        if (self.overload or 0.0) >= OVERLOADED_SHARE:
            raise HarnessError(
                f"for {self.overload:.0%} of the time somebody waited for a CPU of the machine that"
                " engines share with their clients: nothing more could come of concurrency"
            )


@pytest.fixture
def sweep(clients: Clients, stack: Stack, profile: TargetProfile) -> Sweep:
    engines = sum(pod.serving for pod in stack.engines())
    most = rated_concurrency(profile)
    if not engines or most < LEAST_PER_ENGINE * engines:
        raise HarnessError(f"{most} requests at a time are rated for {engines} engines: too few")
    *fewer, all_of_them = doubled(most)
    stages = [clients.stage(concurrency) for concurrency in fewer]
    overload = Overload()
    stages.append(clients.stage(all_of_them))
    share = overload.share() if profile.shares_machine else None
    return Sweep(engines=engines, stages=stages, overload=share)


def test_every_engine_makes_more_of_several_requests_than_of_one(
    sweep: Sweep,
    profile: TargetProfile,
    load: Callable[..., RunningLoad],
    own_backends: StartBackends,
    evidence: Evidence,
) -> None:
    sweep.tell(evidence)
    rated, promised = sweep.rated, profile.load.rate_per_second

    if sweep.gain <= GAIN or rated.per_second < REFERENCE_RATIO * promised:
        sweep.require_room()
    assert sweep.gain > GAIN, (
        f"{rated.concurrency} requests at a time bring {rated.per_second:.1f} answers a second of"
        f" {sweep.engines} engines, one at a time {sweep.single.per_second:.1f}: each engine makes"
        f" {sweep.gain:.2g} times as much of them, {GAIN:g} is the least (vLLM: --max-num-seqs)"
    )
    assert rated.per_second >= REFERENCE_RATIO * promised, (
        f"{rated.concurrency} requests at a time bring {rated.per_second:.1f} answers a second,"
        f" which is less than {REFERENCE_RATIO:.0%} of the rated {promised:g}"
    )
    check_control(load, own_backends, profile, evidence)


def check_control(
    load: Callable[..., RunningLoad],
    own_backends: StartBackends,
    profile: TargetProfile,
    evidence: Evidence,
) -> None:
    """Negative control: where one is answered after the other they wait, and no more comes of it.

    Raises:
        HarnessError: it is otherwise.
    """
    ttft = CONTROL_SECONDS / CONTROL_TOKENS
    pace = {"ttft_seconds": ttft, "tpot_seconds": ttft, "max_running": 1}
    own_backends({ONE_BY_ONE: scripted_engine(ONE_BY_ONE, profile.engine.model, **pace)})
    asking = Clients(load=load, answer_seconds=CONTROL_SECONDS, workers=1)
    there = {"headers": {HEADER: ONE_BY_ONE}, "max_tokens": CONTROL_TOKENS}
    one, several = (asking.stage(concurrency, **there) for concurrency in (1, AT_A_TIME))
    gain = several.per_second / one.per_second
    evidence.record("control", [asdict(one), asdict(several)])
    if gain > GAIN or several.ttft_seconds < GAIN * one.ttft_seconds:
        raise HarnessError(
            f"an engine that takes one at a time seems to make {gain:.2g} times as much of"
            f" {AT_A_TIME}, with {several.ttft_seconds:g} s to the first token"
        )
