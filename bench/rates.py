"""What a token costs this project's load at 5,000 to 30,000 a second, and how true it is."""

import statistics
from collections.abc import Iterator

from bench.clients import (
    OWN,
    per_token_us,
    tail_error_ratio,
    tpot_error_ms,
    true_ttft_ms,
    ttft_error_ms,
)
from bench.judged import Judged
from bench.rig import Load, Measured, p95, rig

TOKENS = 128
ONE = Load(mode="closed", amount=1, tokens=2, seconds=0.1)
STREAM_TOKENS_PER_SECOND = 50
IN_STEP = 100
"""Streams at a time in the closed loop of 5,000 tokens a second."""


def rates(*, quick: bool) -> Iterator[Judged]:
    """Run each rate open and closed; print what each showed."""
    thousands = (5, 30) if quick else (5, 10, 20, 30)
    runs: dict[tuple[str, int], Measured] = {}
    with rig() as bench:
        starts = [bench.run(OWN.command, ONE) for _ in range(1 if quick else 3)]
        start_up = statistics.median(start.cpu_seconds for start in starts)
        for rate in thousands:
            # The start, which is taken off, varies by some hundredths of a second.
            for load in loads(rate, seconds=3 if quick else max(8, 80 / rate)):
                runs[load.mode, rate] = measured = bench.run(OWN.command, load)
                print(described(rate, load, measured, start_up), flush=True)
    yield from costs(runs, start_up)
    yield from truths(runs)
    yield Judged(
        what="start-up of the load process, the worst of some",
        measured=max(start.report["load_cpu_seconds"] for start in starts),
        limit=1.5,
        unit="CPU s",
    )


def loads(thousands: int, *, seconds: float) -> Iterator[Load]:
    """Return the open and the closed load of so many tokens a second."""
    rate = thousands * 1000
    yield Load(mode="open", amount=rate / TOKENS, tokens=TOKENS, seconds=seconds)
    streams = rate // STREAM_TOKENS_PER_SECOND
    yield Load(mode="closed", amount=streams, tokens=TOKENS, seconds=seconds)


def described(thousands: int, load: Load, measured: Measured, start_up: float) -> str:
    """Return one line about one run."""
    said = measured.report
    return (
        f"{thousands:>3},000 tokens/s {load.mode:<6} {per_token_us(measured, start_up):5.1f} us a"
        f" token; p95 TTFT {ttft_error_ms(measured)[1]:+.2f} ms of"
        f" {p95(true_ttft_ms(measured)):.0f},"
        f" TPOT within {tpot_error_ms(measured):.4f} ms of truth; {said['failed']} failed;"
        f" {measured.tokens} tokens, peak memory {measured.peak_bytes >> 20} MiB"
        f"{''.join(f'; TRIPPED {reason}' for reason in said['tripped'])}"
    )


def costs(runs: dict[tuple[str, int], Measured], start_up: float) -> Iterator[Judged]:
    """Return the highest cost of each mode, and whether everything was answered and measured."""
    for mode in ("open", "closed"):
        spent = {
            rate: per_token_us(run, start_up) for (of, rate), run in runs.items() if of == mode
        }
        worst = max(spent, key=lambda rate: spent[rate])
        yield Judged(
            what=f"client CPU per token, {mode} loop, 5k to 30k tokens/s",
            measured=spent[worst],
            limit=20,
            unit="us",
            note=f"the worst, at {worst}k",
        )
    spoiled = sum(bool(run.report["failed"] or run.report["tripped"]) for run in runs.values())
    yield Judged(
        what="loads in which a request failed or a gate tripped", measured=spoiled, limit=0
    )


def truths(runs: dict[tuple[str, int], Measured]) -> Iterator[Judged]:
    """Return how far figures are from the truth where that is hardest."""
    fast, in_step = runs["open", 30], runs["closed", 5]
    yield Judged(
        what="p95 TTFT off the truth, open loop, 30k tokens/s",
        measured=abs(ttft_error_ms(fast)[1]),
        limit=3,
        unit="ms",
    )
    yield Judged(
        what="TPOT off the truth, open loop, 30k tokens/s",
        measured=tpot_error_ms(fast),
        limit=0.05,
        unit="ms",
    )
    yield Judged(
        what=f"p95 TTFT off the truth, closed loop, {IN_STEP} streams in step",
        measured=100 * tail_error_ratio(in_step),
        limit=10,
        unit="%",
    )
