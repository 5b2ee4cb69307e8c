"""The knee of a target: the highest rate at which it keeps its budgets, by open-loop trials.

The rate is doubled until a trial breaks a budget, then the interval between the highest rate that
held and the lowest that broke is halved on a logarithmic scale.
"""

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hotfire.errors import InstrumentError, ProfileError
from hotfire.measure.history import Request
from hotfire.profile import Budgets
from hotfire.traffic.capacity.trial import RateTrial, judged, limits_of_rate, trial_seconds
from hotfire.traffic.runner.launch import MARGIN_SECONDS, running
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.verdict import Verdict

SURE = 0.9
LONGER = (2, 4)
"""An unsure trial is repeated so many times as long; the last word counts."""
HALVINGS = 6
"""A target that breaks at a 64th of the first rate has no knee worth the name."""
DOUBLINGS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How far and how finely to search."""

    most_per_second: float = math.inf
    """Highest rate to try."""
    precision_ratio: float = 0.05
    """Done when the lowest rate that broke is so little above the highest that held."""
    seconds: float | None = None
    """Length of a trial; default: what percentiles and a growing queue need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knee:
    """Where the target stops keeping its budgets."""

    rate_per_second: float
    """Highest rate that held; 0 if none did."""
    broken_at_per_second: float | None
    """Lowest rate that broke a budget; None if none did, and the knee lies higher."""
    trials: tuple[RateTrial, ...]
    ended: str
    """Why the search ended."""

    @property
    def statement(self) -> str:
        """What was found, how surely, in one sentence."""
        held = best([trial for trial in self.trials if trial.held])
        broke = worst([trial for trial in self.trials if trial.verdict is Verdict.FAILED])
        parts = []
        if held:
            parts.append(
                f"{held.rate_per_second:.4g}/s held over {held.requests} requests"
                f" ({held.confidence:.1%} sure)"
            )
        if broke:
            parts.append(
                f"{broke.rate_per_second:.4g}/s broke {broke.reason} ({broke.confidence:.1%} sure)"
            )
        return f"{'; '.join(parts) or 'nothing was found'}; {self.ended}"


def best(trials: Sequence[RateTrial]) -> RateTrial | None:
    """Return the trial with the highest rate."""
    return max(trials, key=lambda trial: trial.rate_per_second, default=None)


def worst(trials: Sequence[RateTrial]) -> RateTrial | None:
    """Return the trial with the lowest rate."""
    return min(trials, key=lambda trial: trial.rate_per_second, default=None)


Measure = Callable[[float, int], Iterable[Request]]
"""Sends at a rate, for so many times the usual length, and returns the rows."""


def search(
    measure: Measure, budgets: Budgets, *, first_per_second: float, effort: Effort = Effort()
) -> Generator[RateTrial, None, Knee]:
    """Yield each trial; return the knee."""
    trials: list[RateTrial] = []
    rate: float | None = min(first_per_second, effort.most_per_second)
    ended = ""
    while rate is not None:
        try:
            trials.append((yield from decided(measure, rate, budgets)))
        except InstrumentError as error:
            ended = f"at {rate:.4g}/s the instrument gave out: {error}"
            break
        rate, ended = following(trials, effort)
    held = best([trial for trial in trials if trial.held])
    broke = worst([trial for trial in trials if trial.verdict is Verdict.FAILED])
    return Knee(
        rate_per_second=held.rate_per_second if held else 0.0,
        broken_at_per_second=broke.rate_per_second if broke else None,
        trials=tuple(trials),
        ended=ended,
    )


def decided(
    measure: Measure, rate_per_second: float, budgets: Budgets
) -> Generator[RateTrial, None, RateTrial]:
    """Yield the trials at one rate, longer ones while chance may be at work; return the last."""
    trial = judged(rate_per_second, measure(rate_per_second, 1), budgets)
    yield trial
    for length in LONGER:
        if trial.confidence >= SURE or trial.verdict is Verdict.INCONCLUSIVE:
            break
        trial = judged(rate_per_second, measure(rate_per_second, length), budgets)
        yield trial
    return trial


def following(trials: Sequence[RateTrial], effort: Effort) -> tuple[float | None, str]:
    """Return the next rate to try, or None and why there is none."""
    last = trials[-1]
    if last.verdict is Verdict.INCONCLUSIVE:
        return None, f"{last.rate_per_second:.4g}/s was inconclusive: {last.reason}"
    broke = worst([trial for trial in trials if not trial.held])
    # A rate above one that broke is no evidence, whatever chance let it do.
    held = best(
        [
            trial
            for trial in trials
            if trial.held and (broke is None or trial.rate_per_second < broke.rate_per_second)
        ]
    )
    if broke is None:
        return _higher(last, trials, effort.most_per_second)
    if held is None:
        if len(trials) > HALVINGS:
            return None, f"no rate down to {last.rate_per_second:.4g}/s held"
        return broke.rate_per_second / 2, ""
    low, high = held.rate_per_second, broke.rate_per_second
    if high <= low * (1 + effort.precision_ratio):
        return None, f"known within {high / low - 1:.1%}"
    return math.sqrt(low * high), ""


def _higher(
    last: RateTrial, trials: Sequence[RateTrial], most_per_second: float
) -> tuple[float | None, str]:
    if last.rate_per_second >= most_per_second or len(trials) > DOUBLINGS:
        return None, f"the knee is above {last.rate_per_second:.4g}/s, the highest rate tried"
    return min(2 * last.rate_per_second, most_per_second), ""


def check_searchable(plan: LoadPlan, budgets: Budgets) -> None:
    """Accept a plan that trials of one rate each can follow, and budgets that a rate can break.

    Raises:
        ProfileError: they cannot; the message names the field.
    """
    if plan.mode != "open" or plan.steps or plan.process == "trace":
        raise ProfileError("the knee needs an open-loop plan of one rate; drop mode, steps, trace")
    if plan.rate_end_per_second is not None:
        raise ProfileError("rate_end_per_second: the knee needs a plan of one rate; drop it")
    if not limits_of_rate(budgets):
        raise ProfileError("budgets: set a ttft, tpot or e2e percentile or error_ratio")


def knee_trials(
    plan: LoadPlan,
    budgets: Budgets,
    folder: Path,
    *,
    effort: Effort = Effort(),
    network_namespace: str | None = None,
) -> Generator[RateTrial, None, Knee]:
    """Search with real loads, from the plan's rate; each leaves ``knee-NN.jsonl`` in the folder.

    Raises:
        ProfileError: the budgets limit nothing that a rate could break, or the plan has another
            shape than one rate in an open loop.
    """
    check_searchable(plan, budgets)
    numbers = iter(range(1, 1000))

    def measure(rate: float, length: int) -> Iterable[Request]:
        precision = effort.precision_ratio
        lasting = effort.seconds or trial_seconds(budgets, rate, precision_ratio=precision)
        number = next(numbers)
        trial = plan.model_copy(
            update={
                "rate_per_second": rate,
                "duration_seconds": length * lasting + plan.warmup_seconds,
                # No trial repeats another's arrivals or finds its prompts in a cache.
                "seed": plan.seed + number,
                "nonce": "",
            }
        )
        history = folder / f"knee-{number:02}.jsonl"
        return rows_of(trial, history, network_namespace=network_namespace)

    return search(measure, budgets, first_per_second=plan.rate_per_second, effort=effort)


def rows_of(plan: LoadPlan, history: Path, *, network_namespace: str | None) -> Iterable[Request]:
    """Return the rows of a load run to its end.

    Raises:
        InstrumentError: the load was not fit to measure.
    """
    limit = plan.duration_seconds + plan.deadline_seconds + plan.grace_seconds + MARGIN_SECONDS
    log = history.with_suffix(".log")
    with running(plan, history=history, log=log, network_namespace=network_namespace) as load:
        load.wait_finished(limit).check()
        return load.stream()


def find_knee(
    trials: Generator[RateTrial, None, Knee], progress: Callable[[RateTrial], None] = lambda _: None
) -> Knee:
    """Return the knee that the trials lead to; ``progress`` hears of each."""
    while True:
        try:
            progress(next(trials))
        except StopIteration as stop:
            knee: Knee = stop.value
            return knee
