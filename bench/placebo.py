"""How often a service that nothing was done to is called worse, and how often a worse one is found.

    python -m bench.placebo                           # simulated, the lab's lengths and rates
    python -m bench.placebo --like gpu                # a default target file, calm machines
    python -m bench.placebo --history H.jsonl         # real: one long load with nothing broken

A placebo is a fault that did nothing: a baseline, then at once the hold, judged as after any fault.
With ``--history`` the load is cut into such pieces, and each effect is put into its real rows.
"""

import argparse
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hotfire.lab.cluster.target import MEASUREMENT, RATE_PER_SECOND
from hotfire.measure import history
from hotfire.measure.comparison import Before
from hotfire.measure.history import FailureClass, Request
from hotfire.measure.recovery import recover
from hotfire.profile import PRESETS, Measurement, RatedLoad

S: Final = 10**9
T0_NS: Final = 1_800_000_000 * S
TOKENS: Final = 12
SLACK_SECONDS: Final = 32.0
LIMIT_SECONDS: Final = 10.0
Effect = Callable[[Request, random.Random], Request]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A target's own noise. ``*_spread`` are standard deviations of the logarithm."""

    ttft_seconds: float
    tpot_seconds: float
    request_spread: float
    """From request to request."""
    speed_spread: float
    """Of the machine's speed, which wanders."""
    speed_memory_seconds: float
    """After that time a speed is forgotten to 1/e."""
    hiccup_every_seconds: float
    """Mean time between hiccups, in which everything takes three times as long."""
    hiccup_seconds: float
    failure_ratio: float


MACHINES: Final = {
    # As measured on two shared cores beside other work: the batches of five seconds of a quiet
    # load vary by 6 % (TPOT) and 10 % (TTFT).
    "lab": Machine(
        ttft_seconds=0.06, tpot_seconds=0.012, request_spread=0.35, speed_spread=0.12,
        speed_memory_seconds=2.0, hiccup_every_seconds=60.0, hiccup_seconds=0.6,
        failure_ratio=0.0002,
    ),
    "gpu": Machine(
        ttft_seconds=0.25, tpot_seconds=0.02, request_spread=0.25, speed_spread=0.03,
        speed_memory_seconds=5.0, hiccup_every_seconds=300.0, hiccup_seconds=0.3,
        failure_ratio=0.0001,
    ),
}  # fmt: skip


def simulated(
    machine: Machine, rate: float, seconds: float, chance: random.Random
) -> list[Request]:
    """Return a quiet load of Poisson arrivals."""
    rows: list[Request] = []
    at, speed, hiccup_end = 0.0, chance.gauss(0, machine.speed_spread), -1.0
    next_hiccup = chance.expovariate(1 / machine.hiccup_every_seconds)
    while (gap := chance.expovariate(rate)) + at < seconds:
        at += gap
        kept = math.exp(-gap / machine.speed_memory_seconds)
        speed = kept * speed + chance.gauss(0, machine.speed_spread * math.sqrt(1 - kept * kept))
        if at >= next_hiccup:
            hiccup_end = at + chance.expovariate(1 / machine.hiccup_seconds)
            next_hiccup = hiccup_end + chance.expovariate(1 / machine.hiccup_every_seconds)
        slow = math.exp(speed) * (3.0 if at < hiccup_end else 1.0)
        ttft, tpot = (
            mean * slow * math.exp(chance.gauss(0, spread))
            for mean, spread in (
                (machine.ttft_seconds, machine.request_spread),
                (machine.tpot_seconds, machine.request_spread / 2),
            )
        )
        rows.append(answered(len(rows), at, ttft=ttft, tpot=tpot))
        if chance.random() < machine.failure_ratio:
            rows[-1] = failed(rows[-1])
    return rows


def answered(seq: int, at: float, *, ttft: float, tpot: float) -> Request:
    sched = T0_NS + round(at * S)
    first = sched + round(ttft * S)
    last = first + round(tpot * (TOKENS - 1) * S)
    return Request(
        seq=seq, sched_ns=sched, send_ns=sched, headers_ns=first, first_ns=first, last_ns=last,
        end_ns=last, n_out=TOKENS, gaps_us=(round(tpot * 1e6),) * (TOKENS - 1), status=200,
    )  # fmt: skip


def failed(row: Request) -> Request:
    return Request(
        seq=row.seq, sched_ns=row.sched_ns, send_ns=row.sched_ns, end_ns=row.sched_ns + S // 100,
        status=503, error_class=FailureClass.HTTP_503,
    )  # fmt: skip


def slower(*, tpot: float = 1.0, ttft: float = 1.0) -> Effect:
    """Return what multiplies the times of an answer."""

    def harm(row: Request, _chance: random.Random) -> Request:
        if row.first_ns is None or row.last_ns is None:
            return row
        first = row.sched_ns + round(ttft * (row.first_ns - row.sched_ns))
        last = first + round(tpot * (row.last_ns - row.first_ns))
        gaps = tuple(round(tpot * gap) for gap in row.gaps_us)
        headers = min(row.headers_ns or first, first)
        return replace(
            row, headers_ns=headers, first_ns=first, first_output_ns=first, last_ns=last,
            end_ns=last, gaps_us=gaps,
        )  # fmt: skip

    return harm


def failing(ratio: float) -> Effect:
    return lambda row, chance: failed(row) if chance.random() < ratio else row


# One of two replicas of a processor-sharing server at 30 % load: 1 / (1 - 0.6) to 1 / (1 - 0.3).
_ONE_OF_TWO: Final = (1 - 0.3) / (1 - 0.6)
EFFECTS: Final[dict[str, Effect]] = {
    "nothing (placebo)": lambda row, _chance: row,
    "TPOT + 25 %": slower(tpot=1.25),
    "TPOT + 60 %": slower(tpot=1.6),
    "TPOT + 100 %": slower(tpot=2.0),
    "one replica of two missing at 30 % load": slower(tpot=_ONE_OF_TWO, ttft=_ONE_OF_TWO),
    "2 % errors": failing(0.02),
}


def verdict(
    rows: Sequence[Request], *, start_ns: int, effect: Effect, measurement: Measurement, seed: int
) -> str:
    """Return the verdict on one placebo: a baseline to ``start_ns``, the effect from there on."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    baseline = [row for row in rows if row.sched_ns < start_ns]
    after = [effect(row, chance) for row in rows if row.sched_ns >= start_ns]
    found = recover(
        [*baseline, *after],
        injected_ns=start_ns,
        cleared_ns=start_ns,
        before=Before.of(baseline, PRESETS["lab"], measurement),
    )
    return found.judge(LIMIT_SECONDS)[0].value


def pieces(
    options: argparse.Namespace, measurement: Measurement
) -> Iterator[tuple[list[Request], int]]:
    """Yield the rows of each placebo and the moment at which its baseline ends."""
    lead = measurement.baseline_seconds
    span = (
        lead + LIMIT_SECONDS + measurement.hold_seconds + measurement.window_seconds + SLACK_SECONDS
    )
    if options.history is None:
        for seed in range(options.holds):
            chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
            rows = simulated(MACHINES[options.like], options.rate, span, chance)
            yield rows, T0_NS + round(lead * S)
        return
    rows = [
        row
        for row in history.load(options.history)
        if row.phase != "warmup" and row.served_by not in options.without
    ]
    first, last = rows[0].sched_ns, rows[-1].sched_ns
    start = first
    while start + span * S <= last:
        inside = [row for row in rows if start <= row.sched_ns < start + span * S]
        yield inside, start + round(lead * S)
        start += round(options.step * S)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--holds", type=int, default=1000)
    parser.add_argument("--like", choices=sorted(MACHINES), default="lab")
    parser.add_argument("--history", type=Path, help="a real load with nothing broken")
    parser.add_argument("--step", type=float, default=20.0, help="seconds between real placebos")
    parser.add_argument("--without", action="append", default=["canary"], help="control group")
    parser.add_argument("--rate", type=float)
    for name in ("baseline", "window", "hold", "batch"):
        parser.add_argument(f"--{name}", type=float, metavar="SECONDS")
    options = parser.parse_args()
    own = Measurement(**MEASUREMENT) if options.like == "lab" else Measurement()
    given = {
        f"{name}_seconds": value
        for name in ("baseline", "window", "hold", "batch")
        if (value := getattr(options, name)) is not None
    }
    measurement = own.model_copy(update=given)
    usual = RATE_PER_SECOND if options.like == "lab" else RatedLoad().rate_per_second
    options.rate = options.rate or usual
    stretches = list(pieces(options, measurement))
    source = options.history or f"simulated, like {options.like}"
    print(
        f"{len(stretches)} holds ({source}): {options.rate:g} requests/s, baseline"
        f" {measurement.baseline_seconds:g} s, hold {measurement.hold_seconds:g} s, window"
        f" {measurement.window_seconds:g} s, a false alarm in"
        f" {1 / measurement.false_alarm_probability:,.0f} holds declared"
    )
    print(f"{'effect':<42}{'failed':>8}{'too noisy':>11}{'passed':>8}   per 1,000 holds")
    for name, effect in EFFECTS.items():
        counted = Counter(
            verdict(rows, start_ns=at, effect=effect, measurement=measurement, seed=seed)
            for seed, (rows, at) in enumerate(stretches)
        )
        shares = [1000 * counted[v] / len(stretches) for v in ("failed", "inconclusive", "passed")]
        print(f"{name:<42}{shares[0]:8.1f}{shares[1]:11.1f}{shares[2]:8.1f}")


if __name__ == "__main__":
    main()
